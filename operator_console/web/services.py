"""The objects that requests share. ``app`` creates them."""

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.suppressions import Hashes, hashes_of
from operator_console.errors import NoFeedbackKeysError
from operator_console.views import BounceCauses, BounceCauseView, Causes, CauseView, Stats
from operator_console.web.bulk_worker import BulkWorker
from operator_console.web.cache import CountPermits, SingleFlightCache
from operator_console.web.errors import ViolationCode
from operator_console.web.sessions import SessionPolicy, WrongTokenLimit
from shared.addresses import InvalidAddressError
from shared.secrets import SecretKeys
from shared.web.problems import ValidationFailedError, Violation

EXTENSION = "signpost"


@dataclass(frozen=True)
class Services:
    """One of each for the life of the process."""

    engine: Engine
    sessions: sessionmaker[Session]
    wrong_tokens: WrongTokenLimit
    bulk_worker: BulkWorker
    count_permits: CountPermits
    causes: SingleFlightCache[Causes]
    bounce_causes: SingleFlightCache[BounceCauses]
    stats: SingleFlightCache[Stats]
    session_policy: SessionPolicy
    origin: str | None
    is_https: bool
    feedback_keys: SecretKeys | None
    organization_keys: SecretKeys | None

    @property
    def cookie_name(self) -> str:
        """The session cookie's name. The prefix ties it to this host and https (RFC 6265bis §4.1.3.2)."""
        return "__Host-console" if self.is_https else "signpost-console"

    def find_cause(self, cause: str | None) -> CauseView | None:
        """Return the cause with that id, or None if it has no dead message that counts."""
        if cause is None:
            return None
        return next((one for one in self.causes.get().value.causes if one.cause == cause), None)

    def find_bounce_cause(self, bounce_cause: str | None) -> BounceCauseView | None:
        """Return the cause of bounces with that id, or None if no message bounced for it in the last days."""
        if bounce_cause is None:
            return None
        causes = self.bounce_causes.get().value.causes
        return next((one for one in causes if one.bounce_cause == bounce_cause), None)

    def hashes_of(self, address: str, pointer: str) -> Hashes:
        """Return an address's hashes for the suppression list. ``pointer`` is its place in the request.

        Raises NoFeedbackKeysError, or ValidationFailedError for text that is no address.
        """
        if self.feedback_keys is None:
            raise NoFeedbackKeysError
        try:
            return hashes_of(address, self.feedback_keys)
        except InvalidAddressError:
            raise ValidationFailedError([Violation(pointer, ViolationCode.INVALID_ADDRESS)]) from None


def services() -> Services:
    """Return the services of the app that serves the current request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
