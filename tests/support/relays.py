"""Real relay processes for tests, and what they say of themselves."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.databases import Database

KEY = b"key of the tests, long enough by far"
SECRET_KEYS = f"k1:{base64.b64encode(KEY).decode()}"
DEADLINE_SECONDS = 30


@dataclass(frozen=True)
class RelayProcess:
    """A relay that runs as it would in production."""

    process: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far, one object a line."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def url(self) -> str:
        wait_until(lambda: bool(self.said("relay started")), "the relay starts")
        return f"http://{self.said('relay started')[0]['bind']}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=5)

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/readyz").status_code == 200, "the relay is ready")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float = DEADLINE_SECONDS) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def relay_environment(database: Database, **settings: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database.relay_url,
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": "https://signpost.example",
        "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
        "RELAY_BIND": "127.0.0.1:0",
        "RELAY_POLL_SECONDS": "1",
    } | settings


@contextmanager
def running_relay(database: Database, **settings: str) -> Iterator[RelayProcess]:
    """Run a relay with those settings; kill it at the end if it still runs."""
    descriptor, name = tempfile.mkstemp(prefix="signpost-relay-", suffix=".log")
    with os.fdopen(descriptor, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from outbox_relay.cli import main; main()", "run"],
            env=relay_environment(database, **settings),
            stdout=log,
            stderr=log,
        )
    relay = RelayProcess(process, Path(name))
    try:
        yield relay
    finally:
        relay.kill()
        relay.log_file.unlink()


def wait_until(is_so: Callable[[], bool], what: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return once ``is_so`` says yes; fail the test when it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)
