"""The objects that routes need; ``app`` creates them once per process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from flask import current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from api_service.outbox_signals.wait_for_settled import SettledWaiters
from api_service.outbox_signals.wake_relays import Notifier
from api_service.rate_limits import Limiter
from api_service.security.access_tokens import AccessTokens
from api_service.security.hash_pool import HashPool
from api_service.sign_in_watch import SignInWatch
from api_service.transactions import in_transaction
from api_service.use_cases.sessions import SessionPolicy
from api_service.use_cases.tokens import TokenPolicy
from shared.profiles import ProfileSchema
from shared.secrets import SecretKeys

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations

EXTENSION = "signpost"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Services:
    """One instance of each, for the life of the process."""

    engine: Engine
    sessions: sessionmaker[Session]
    keys: SecretKeys
    limiter: Limiter
    policy: TokenPolicy
    reset_policy: TokenPolicy
    change_policy: TokenPolicy
    session_policy: SessionPolicy
    access_tokens: AccessTokens
    profiles: ProfileSchema | None
    notifier: Notifier
    settled_waiters: SettledWaiters
    sign_in_hashes: HashPool
    other_hashes: HashPool
    sign_in_watch: SignInWatch
    phone_region: str | None
    organizations: "Organizations | None"

    def run_and_wake(self, work: Callable[[Session], Result]) -> Result:
        """Run the work in a transaction, and wake the relays for the messages that it enqueued."""
        result = in_transaction(self.sessions, work)
        self.notifier.wake()
        return result

    def close(self) -> None:
        """Stop background threads and close database connections."""
        self.notifier.close()
        self.sign_in_hashes.close()
        self.other_hashes.close()
        self.engine.dispose()


def services() -> Services:
    """Return the services of the current app."""
    found: Services = current_app.extensions[EXTENSION]
    return found
