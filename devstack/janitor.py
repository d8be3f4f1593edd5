"""Clean up after a devstack that was killed.

The janitor is a separate process that reads from a pipe. The devstack reports each process and folder that it creates.
The devstack cancels each one that it has ended itself. When the pipe closes, the janitor removes the others.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


class Janitor:
    """The devstack's end of the pipe: a context manager around everything that the janitor watches."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devstack.janitor"],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a Ctrl-C in the terminal does not reach it
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def watch_process(self, pid: int) -> None:
        """End this process and its group at the close of the pipe. It must lead the group."""
        self._write(f"process {pid}")

    def forget_process(self, pid: int) -> None:
        """Forget a process that has ended, because its id may be reused."""
        self._write(f"ended {pid}")

    def watch_server(self, folder: Path) -> None:
        """End the PostgreSQL server with its data in this folder at the close of the pipe, and remove the folder."""
        self._write(f"server {folder}")

    def watch_folder(self, folder: Path) -> None:
        """Remove this folder at the close of the pipe."""
        self._write(f"folder {folder}")

    def _write(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe:
            with suppress(BrokenPipeError):  # the janitor is gone; an orderly end does not need it
                pipe.write(f"{line}\n")
                pipe.flush()


def clean_up_after(notes: Iterable[str]) -> None:
    """Read notes until the pipe closes, then end and remove the remaining processes, servers and folders."""
    processes: set[int] = set()
    servers: list[Path] = []
    folders: list[Path] = []
    for note in notes:
        word, _, rest = note.rstrip("\n").partition(" ")
        match word:
            case "process":
                processes.add(int(rest))
            case "ended":
                processes.discard(int(rest))
            case "server":
                servers.append(Path(rest))
            case "folder":
                folders.append(Path(rest))
            case _:
                raise ValueError(f"not a note: {note!r}")
    _end(processes, os.killpg, signal.SIGTERM)
    # SIGQUIT: PostgreSQL ends its own children and frees its shared memory.
    _end({pid for folder in servers if (pid := _server_pid(folder))}, os.kill, signal.SIGQUIT)
    for folder in (*servers, *folders):
        shutil.rmtree(folder, ignore_errors=True)


def _end(pids: set[int], kill: Callable[[int, int], None], number: signal.Signals) -> None:
    _signal(pids, kill, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while _signal(pids, kill, 0) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    _signal(pids, kill, signal.SIGKILL)


def _signal(pids: set[int], kill: Callable[[int, int], None], number: int) -> bool:
    """Send the signal to all processes; return whether any of them existed."""
    are_there = False
    for pid in pids:
        with suppress(ProcessLookupError):
            kill(pid, number)
            are_there = True
    return are_there


def _server_pid(folder: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    return None


if __name__ == "__main__":
    clean_up_after(sys.stdin)
