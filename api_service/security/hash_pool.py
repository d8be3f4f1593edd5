"""Hash passwords in few threads, for a bounded number of requests.

A hash takes a tenth of a second of a core. Without a bound, each request of a flood would hold a thread until its turn.
Each kind of work has a pool of its own (the bulkhead pattern), so a flood of sign-ins leaves registrations alone. More
hashes at once than CPUs would only evict each other's memory from the caches.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import TypeVar

from api_service.errors import OverloadedError
from api_service.security import passwords

Result = TypeVar("Result")

PAUSE_SECONDS = 0.04
"""The pause before a rejection. A client that retries at once waits this long, which leaves the CPU to hashes."""
DEADLINE_SECONDS = 5.0
"""How long a request waits for its turn. A sign-in has one turn, and a change of the password has two."""


class HashPool:
    """Threads that hash; at most ``most_requests`` may use or wait for them at the same time.

    argon2 keeps 31 MiB for each of these threads, however many threads serve requests.
    """

    def __init__(self, name: str, threads: int, most_requests: int) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"hash-{name}")
        self._places = BoundedSemaphore(most_requests)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Take a place for a request that hashes in the block. Raises OverloadedError if all are taken."""
        if not self._places.acquire(blocking=False):
            time.sleep(PAUSE_SECONDS)
            raise OverloadedError(self._name)
        try:
            yield
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        """Hash a normalized password. Raises OverloadedError."""
        return self.run(lambda: passwords.hash_password(password))

    def verify(self, password_hash: str, password: str) -> bool:
        """Return whether a normalized password matches. Raises OverloadedError."""
        return self.run(lambda: passwords.verify_password(password_hash, password))

    def run(self, work: Callable[[], Result]) -> Result:
        """Run work that hashes in a thread of the pool. Call it outside transactions.

        Raises OverloadedError if the work has not started after DEADLINE_SECONDS. Work that has started is always
        completed. A rejected request counts against no limit, so a rejection halfway would be a free guess.
        """
        future: Future[Result] = self._threads.submit(work)
        try:
            return future.result(DEADLINE_SECONDS)
        except TimeoutError:
            if future.cancel():
                raise OverloadedError(self._name) from None
            return future.result()

    def close(self) -> None:
        """End the threads after their current hashes."""
        self._threads.shutdown(cancel_futures=True)
