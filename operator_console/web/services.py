"""What the routes need and ``app`` puts together."""

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from operator_console.views import CausesAt, Stats
from operator_console.web.attempts import Attempts
from operator_console.web.carrier import Carrier
from operator_console.web.kept import Kept
from operator_console.web.sessions import SessionTerms

EXTENSION = "signpost"


@dataclass(frozen=True)
class Services:
    """One of each, for the life of the process."""

    engine: Engine
    sessions: sessionmaker[Session]
    attempts: Attempts
    carrier: Carrier
    causes: Kept[CausesAt]
    stats: Kept[Stats]
    terms: SessionTerms
    origin: str | None
    is_https: bool

    @property
    def cookie_name(self) -> str:
        """The cookie's name; with the prefix a browser takes it from this host by https only (RFC 6265bis §4.1.3.2)."""
        return "__Host-console" if self.is_https else "signpost-console"


def services() -> Services:
    """Return the services of the app that serves the present request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
