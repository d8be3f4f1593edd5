"""Real relay processes for tests, their logs and their HTTP endpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support import plain_http
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.keys import SECRET_KEYS
from tests.support.processes import Running, completed, running

WITH_SHORT_TIMEOUTS = (
    "python",
    "-c",
    (
        "from outbox_relay import cli; from outbox_relay.db import connection;"
        " connection.RESPONSE_TIMEOUT_SECONDS = 6; cli.main()"
    ),
    "run",
)
"""A relay with a database timeout of six seconds, because twenty are a long wait for a test."""


@dataclass(frozen=True)
class RunningRelay(Running):
    """A relay process with production code."""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of that event."""
        return [line for line in self.log_lines() if line["event"] == event]

    def get(self, path: str) -> httpx.Response:
        [started] = eventually(lambda: self.logged("relay started"))
        return plain_http.get(f"http://{started['bind']}{path}", timeout=5)

    def wait_until_ready(self) -> None:
        eventually(lambda: self.get("/readyz").is_success)

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        self.process.kill()
        self.process.wait()


def relay_environment(database: Database, **settings: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database.relay_url,
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": "https://signpost.example",
        "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
        "RELAY_BIND": "127.0.0.1:0",
        "RELAY_POLL_SECONDS": "1",
    } | settings


@contextmanager
def running_relay(
    database: Database, *, command: Sequence[str] = ("outbox-relay", "run"), **settings: str
) -> Iterator[RunningRelay]:
    """Run a relay with those settings, and kill it at the end if it still runs."""
    with running(command, relay_environment(database, **settings)) as started:
        yield RunningRelay(started.process, started.log_path)


def relay_once(database: Database, **settings: str) -> int:
    """Run `outbox-relay once`, and return its exit status."""
    return completed(("outbox-relay", "once"), relay_environment(database, **settings)).returncode
