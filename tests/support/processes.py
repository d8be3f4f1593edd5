"""The project's services as real processes, started as in production."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from tests.support import fork_server, plain_http
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.fork_server import ForkedProcess
from tests.support.keys import PUBLIC_URL, SECRET_KEYS

SCRIPTS = Path(sysconfig.get_path("scripts"))
HASTY_API = ("python", "-c", "from bench.fast_hashing import main; main()", "serve")
"""The API with the cheapest argon2 parameters, for tests with many requests that do not concern passwords."""

FORKED = {
    "outbox-relay": ("relay", "outbox_relay.cli"),
    "api-service": ("web", "api_service.cli"),
    "operator-console": ("web", "operator_console.web.cli"),
    "outboxctl": ("web", "operator_console.cli"),
    "signpost-receiver": ("web", "receiver.cli"),
}
"""The kind of each program that the fork server starts, and the module that its script runs."""
END_SECONDS = 60

ACTIVATE = """
import os, sys
listener, *command = sys.argv[1:]
os.dup2(int(listener), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(command[0], command)
"""
"""Start a command as systemd starts the service of a socket (sd_listen_fds(3))."""


@dataclass(frozen=True)
class Running:
    """A process that leads its own group, with its standard error."""

    process: "subprocess.Popen[bytes] | ForkedProcess"
    log_path: Path

    @property
    def output_path(self) -> Path:
        """Its standard output."""
        return self.log_path.with_name("output")

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[int]:
        """Return the ids of its child processes, such as gunicorn's workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def log_text(self) -> str:
        return self.log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the log, and fail if a line is not JSON."""
        return [json.loads(line) for line in self.log_text().splitlines()]

    @property
    def admin_bind(self) -> str:
        """The address of the admin listener of an API or a console."""
        [listening] = [line for line in self.log_lines() if line["event"] == "admin listening"]
        return str(listening["bind"])


@dataclass(frozen=True)
class RunningApi(Running):
    """The API on a free loopback port."""

    @property
    def base_url(self) -> str:
        [listening] = [line for line in self.log_lines() if line["event"] == "api listening"]
        return str(listening["bind"][0])

    def admin(self, path: str) -> httpx.Response:
        """Request a path of the admin listener."""
        return plain_http.get(f"http://{self.admin_bind}{path}", timeout=30)

    def responds(self) -> bool:
        """Return whether a worker serves requests."""
        with suppress(OSError, ValueError, httpx.TransportError):
            return plain_http.get(f"{self.base_url}/favicon.ico", timeout=5).is_success
        return False


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], *, listener: socket.socket | None = None
) -> Iterator[Running]:
    """Run one of the project's scripts with exactly that environment, and kill its process group at the end.

    It gets ``listener`` as systemd passes a socket.
    """
    variables = {"PATH": os.environ["PATH"], **environment}
    whole: list[str | Path] = [SCRIPTS / command[0], *command[1:]]
    if listener:
        whole = [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *whole]
    with tempfile.TemporaryDirectory(prefix="signpost-test-") as folder:
        variables.setdefault("TMPDIR", folder)
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log, log_path.with_name("output").open("wb") as output:
            process = (None if listener else _forked(command, variables, (output, log))) or subprocess.Popen(
                whole,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                pass_fds=[listener.fileno()] if listener else [],
            )
        with process:
            try:
                yield Running(process, log_path)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def completed(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one of the project's scripts to its end with exactly that environment."""
    with running(command, environment) as started:
        status = started.process.wait(END_SECONDS)
        return subprocess.CompletedProcess(command, status, started.output_path.read_text(), started.log_text())


def _forked(
    command: Sequence[str], environment: Mapping[str, str], outputs: tuple[BinaryIO, BinaryIO]
) -> ForkedProcess | None:
    """Start a program from the fork server, or return None for another command or other places of modules."""
    if "PYTHONPATH" in environment:
        return None
    match command:
        case [program, *_] if program in FORKED:
            kind, module = FORKED[program]
            code = f"import sys; from {module} import main; sys.exit(main())"
            return fork_server.start(kind, code, command, environment, outputs)
        case ["python" | sys.executable, "-c", code, *rest]:
            kind = "relay" if "outbox_relay" in code else "web"
            return fork_server.start(kind, code, ["-c", *rest], environment, outputs)
    return None


@contextmanager
def running_api(
    database: Database,
    *,
    command: Sequence[str] = ("api-service", "serve"),
    listener: socket.socket | None = None,
    **settings: str,
) -> Iterator[RunningApi]:
    """Run the API over that database, and wait until it responds."""
    environment = {
        "DATABASE_URL": database.api_url,
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": PUBLIC_URL,
        "API_BIND": "127.0.0.1:0",
        "API_ADMIN_BIND": "127.0.0.1:0",
        "API_WORKERS": "1",
        "API_THREADS": "16",
        "RATE_LIMITS": "off",
    } | settings
    with running(command, environment, listener=listener) as started:
        api = RunningApi(started.process, started.log_path)
        eventually(lambda: api.responds() or _raise_if_ended(api), seconds=60)
        yield api


def _raise_if_ended(started: Running) -> None:
    if started.process.poll() is not None:
        raise AssertionError(f"it ended with {started.process.returncode}: {started.log_text()}")
