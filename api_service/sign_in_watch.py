"""Notice sign-ins that fail from many networks at once: an attack that no limit per network can stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from api_service.errors import AccountNotActivatedError, InvalidCredentialsError, OverloadedError
from api_service.metrics import FAILED_SIGN_IN_NETWORKS, SIGN_INS
from shared.log import get_logger

WINDOW_SECONDS = 60
MANY_NETWORKS = 20
"""Of one window, in one worker process. People who mistype their passwords rarely reach it."""
MOST_NETWORKS = 10_000
"""Of one window: an attacker with an IPv6 prefix has any number of networks, and this process keeps each."""

log = get_logger("api.sign_ins")


class SignInWatch:
    """Counts the networks whose sign-ins fail or are rejected, in windows of a minute. Logs a window with many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._networks: set[str] = set()
        self._window_ends_at = 0.0

    @contextmanager
    def observe(self, network: str) -> Iterator[None]:
        """Count the sign-in in the block: its outcome, and the network if it failed or was rejected."""
        try:
            yield
        except OverloadedError:
            self._note_failure(network)
            raise
        except InvalidCredentialsError:
            SIGN_INS.labels("failed").inc()
            self._note_failure(network)
            raise
        except AccountNotActivatedError:  # raised after the right password only
            SIGN_INS.labels("succeeded").inc()
            raise
        SIGN_INS.labels("succeeded").inc()

    def _note_failure(self, network: str) -> None:
        with self._lock:
            if self._clock() >= self._window_ends_at:
                self._networks.clear()
                self._window_ends_at = self._clock() + WINDOW_SECONDS
            if network in self._networks or len(self._networks) >= MOST_NETWORKS:
                return
            self._networks.add(network)
            FAILED_SIGN_IN_NETWORKS.inc()
            if len(self._networks) == MANY_NETWORKS:
                log.warning("sign-ins fail from many networks", networks=MANY_NETWORKS, within_seconds=WINDOW_SECONDS)
