"""Run programs as real processes: start them, wait until they are ready, and end them."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from devstack.janitor import Janitor

READY_SECONDS = 60.0
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05
TAIL_LINES = 25


class ProcessError(Exception):
    """A process ended, or was not ready in time. The message contains its name and the end of its log."""


@dataclass(frozen=True)
class Program:
    """A command with its whole environment, and the URL that shows when it is ready."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_url: str | None = None


class Process:
    """A program that can be started and stopped repeatedly. It appends to one log file."""

    def __init__(
        self, program: Program, folder: Path, janitor: Janitor, *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.name = program.name
        self.log = folder / f"{program.name}.log"
        self._program = program
        self._janitor = janitor
        self._grace_seconds = grace_seconds
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessError if the process is not running."""
        if self._popen is None:
            raise ProcessError(f"{self.name} is not running")
        return self._popen.pid

    def start(self) -> subprocess.Popen[bytes]:
        """Start it as the leader of a new process group, so that its children can be ended with it."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - our own commands
                self._program.command,
                env=self._program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._janitor.watch_process(self._popen.pid)
        return self._popen

    def run(self) -> None:
        """Start it and wait for its end. Raises ProcessError after a timeout or for an exit status above 0."""
        try:
            code = self.start().wait(READY_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ProcessError(f"{self.name} did not end within {READY_SECONDS:g} s\n{self.tail()}") from error
        finally:
            self.stop()
        if code:
            raise ProcessError(f"{self.name} ended with {code}\n{self.tail()}")

    def wait_until_ready(self) -> None:
        """Wait until it is ready. Raises ProcessError if it ends before, or after a timeout."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            self.raise_if_ended()
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready within {READY_SECONDS:g} s\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def raise_if_ended(self) -> None:
        """Raise ProcessError if it has ended by itself."""
        code = self._popen.poll() if self._popen else None
        if code is not None:
            raise ProcessError(f"{self.name} ended by itself with {code}\n{self.tail()}")

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self._popen:
            self._popen.terminate()

    def stop(self) -> None:
        """Send SIGTERM, and kill it after a timeout. Its remaining children end, too."""
        self.terminate()
        popen, self._popen = self._popen, None
        if popen is None:
            return
        try:
            with suppress(subprocess.TimeoutExpired):
                popen.wait(self._grace_seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
            self._janitor.forget_process(popen.pid)

    def tail(self) -> str:
        """Return the end of its log, with a heading."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- the end of {self.name}'s log:", *(lines[-TAIL_LINES:] or ["(empty)"])])

    def _is_ready(self) -> bool:
        if self._program.ready_url is None:
            return True
        try:
            return httpx.get(self._program.ready_url, timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False
