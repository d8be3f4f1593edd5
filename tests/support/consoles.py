"""The console in this process or in its own, and tokens for it."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from operator_console.actions.audit import AuditContext
from operator_console.actions.tokens import Scope, create_token
from operator_console.settings import WebSettingsSchema
from operator_console.web.app import Console, create_app
from operator_console.web.cache import SingleFlightCache
from operator_console.web.services import EXTENSION
from operator_console.web.sessions import WrongTokenLimit
from shared.db.engine import engine_url
from tests.support import plain_http
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.processes import Running, running

ALL = tuple(Scope)
A_DAY = timedelta(days=1)
SETUP = AuditContext("setup", "for a test")
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass(frozen=True)
class RunningConsole(Running):
    """A console that listens on a free port of loopback."""

    @property
    def base_url(self) -> str:
        [listening] = [line for line in self.log_lines() if line["event"] == "console listening"]
        return str(listening["bind"][0])

    def responds(self) -> bool:
        with suppress(OSError, ValueError, httpx.TransportError):
            return plain_http.get(f"{self.base_url}/static/console.css", timeout=5).is_success
        return False


@dataclass(frozen=True)
class ConsoleUnderTest:
    """The app and its database."""

    app: Console
    database: Database

    def ask(self, method: str, path: str, token: str, **options: Any) -> TestResponse:
        """Send a request as a script."""
        return self.app.test_client().open(path, method=method, headers={"Authorization": f"Bearer {token}"}, **options)

    def signed_in(self, token: str) -> FlaskClient:
        """Return a browser with a session."""
        browser = self.app.test_client()
        assert browser.post("/sign-in", data={"token": token}).status_code == 303
        return browser


def csrf_in(page: TestResponse) -> str:
    """Return the CSRF token of a page's forms."""
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


@contextmanager
def console_on(database: Database, **environment: str) -> Iterator[ConsoleUnderTest]:
    """Create the app over that database, without the thread that runs bulk actions."""
    with app_on(database, **environment) as app:
        yield ConsoleUnderTest(app, database)


def shared_console(database: Database) -> ConsoleUnderTest:
    """Return one app with default settings for all tests of the database."""
    app = database.share("console", lambda: app_on(database))
    used = app.extensions[EXTENSION]
    app.extensions[EXTENSION] = replace(
        used,
        wrong_tokens=WrongTokenLimit(),
        causes=SingleFlightCache(used.causes.compute, used.count_permits),
        stats=SingleFlightCache(used.stats.compute, used.count_permits),
    )
    return ConsoleUnderTest(app, database)


@contextmanager
def app_on(database: Database, **environment: str) -> Iterator[Console]:
    app = create_app(WebSettingsSchema().read({"DATABASE_URL": database.console_url} | environment))
    yield app
    app.close()


@contextmanager
def running_console(
    database: Database,
    *,
    command: Sequence[str] = ("operator-console", "serve"),
    listener: socket.socket | None = None,
    **settings: str,
) -> Iterator[RunningConsole]:
    """Run the console over that database, and wait until it responds."""
    binds = {"CONSOLE_BIND": "127.0.0.1:0", "CONSOLE_ADMIN_BIND": "127.0.0.1:0"}
    environment = {"DATABASE_URL": database.console_url} | binds | settings
    with running(command, environment, listener=listener) as started:
        console = RunningConsole(started.process, started.log_path)
        eventually(console.responds, seconds=60)
        yield console


def operators_token(database: Database, *scopes: Scope, name: str = "ada", lifetime: timedelta = A_DAY) -> str:
    """Create a token as the schema's owner, by default with all scopes."""
    engine = database.share("owner's engine", lambda: engine_on(database))
    with Session(engine) as session, session.begin():
        _, text = create_token(session, name, scopes or ALL, lifetime, SETUP)
    return text


@contextmanager
def engine_on(database: Database) -> Iterator[Engine]:
    engine = create_engine(engine_url(database.owner_url))
    yield engine
    engine.dispose()
