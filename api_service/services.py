"""What the routes need and ``app`` puts together."""

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from api_service.access_tokens import AccessTokens
from api_service.notifier import Notifier
from api_service.rate_limits import Limiter
from api_service.settled import SettledListener
from api_service.use_cases.sessions import SessionTerms
from api_service.use_cases.tokens import Terms
from api_service.waiting import WaitingRoom
from shared.secrets import SecretKeys

EXTENSION = "signpost"


@dataclass(frozen=True)
class Services:
    """One of each, for the life of the process."""

    engine: Engine
    sessions: sessionmaker[Session]
    keys: SecretKeys
    limiter: Limiter
    terms: Terms
    account_terms: Terms
    session_terms: SessionTerms
    access_tokens: AccessTokens
    notifier: Notifier
    waiting_room: WaitingRoom
    settled: SettledListener

    def close(self) -> None:
        """Let go of the database."""
        self.notifier.close()
        self.settled.close()
        self.engine.dispose()


def services() -> Services:
    """Return the services of the app that serves the present request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
