"""Services and commands that start faster: forked from a process that has imported their modules.

Tests start hundreds of them, and each would take 0.4 to 0.7 s of CPU for imports. A forked program has its own
environment, arguments, session and output, as if its command had started it. Only its imports are done already.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

MODULES = {
    "relay": ("outbox_relay.cli", "outbox_relay.daemon"),
    # Without prometheus_client, which reads from the environment at its import whether processes share metrics.
    "web": (
        *("api_service.cli", "operator_console.web.cli"),
        *("flask", "gunicorn.app.base", "gunicorn.workers.gthread", "marshmallow", "sqlalchemy.dialects.postgresql"),
        *("argon2", "jwt", "email_validator", "shared.models"),
        *("operator_console.cli", "receiver.cli", "aiosmtpd.lmtp", "flufl.bounce", "migrations.commands"),
    ),
}
"""The modules that the server of each kind imports."""
MOST_BYTES = 60_000


class ForkedProcess:
    """A process that the fork server started. It has the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, pid: int, ending: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ending = ending

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with suppress(BlockingIOError):
            return self._receive(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status. Raises TimeoutExpired."""
        try:
            return self._receive(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("a forked service", timeout or 0) from None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.wait()

    def _receive(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._ending.settimeout(timeout)
            self.returncode = int(self._ending.recv(16))
            self._ending.close()
        return self.returncode


def start(
    kind: str, code: str, arguments: Sequence[str], environment: Mapping[str, str], outputs: tuple[BinaryIO, BinaryIO]
) -> ForkedProcess:
    """Run code with those arguments in a forked process, with its standard output and error in two files."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # one message for its id, and one for its end
    with its:
        request = json.dumps([code, list(arguments), dict(environment)]).encode()
        assert len(request) < MOST_BYTES
        socket.send_fds(_server(kind), [request], [*(each.fileno() for each in outputs), its.fileno()])
    return ForkedProcess(int(ours.recv(16)), ours)


@cache
def _server(kind: str) -> socket.socket:
    """Start this worker's fork server of that kind. It ends when the worker ends, since its socket then closes."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-c", "from tests.support.fork_server import serve; serve()", kind, str(its.fileno())],
        pass_fds=[its.fileno()],
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    its.close()
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    requests.close()
    process.wait()


class _Server:
    """Forks a process for each request, and reports its exit status when it ends."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._endings: dict[int, socket.socket] = {}
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)  # noqa: FBT003 - socket's own parameter
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Serve until the worker has ended."""
        while True:
            readable, _, _ = select.select([self._requests, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                self._report()
            if self._requests in readable:
                message, descriptors, *_ = socket.recv_fds(self._requests, MOST_BYTES, 3)
                if not message:
                    return
                self._fork(message, *descriptors)

    def _report(self) -> None:
        for pid in list(self._endings):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._endings.pop(pid) as ending, suppress(BrokenPipeError):
                    ending.send(str(os.waitstatus_to_exitcode(status)).encode())

    def _fork(self, message: bytes, output: int, log: int, ending: int) -> None:
        pid = os.fork()
        if pid == 0:
            os.close(ending)
            self._leave()
            become(message, output, log)
        os.close(output)
        os.close(log)
        self._endings[pid] = socket.socket(fileno=ending)
        self._endings[pid].send(str(pid).encode())

    def _leave(self) -> None:
        """Close what belongs to the server, in the forked process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._requests, self._woken, self._waker, *self._endings.values()):
            each.close()


def become(message: bytes, output: int, log: int) -> NoReturn:
    """Become the process of a request. Its end is the interpreter's."""
    code, arguments, environment = json.loads(message)
    os.setsid()
    with Path(os.devnull).open("rb", buffering=0) as nothing:
        for standard, source in enumerate((nothing.fileno(), output, log)):
            os.dup2(source, standard)
    os.close(output)
    os.close(log)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it depends on the environment
    sys.argv = arguments
    exec(code, {"__name__": "__main__"})
    sys.exit()


def serve() -> None:
    """Be the fork server."""
    for module in MODULES[sys.argv[1]]:
        import_module(module)
    gc.freeze()  # so that collections in the forked processes do not copy the modules' memory
    _Server(socket.socket(fileno=int(sys.argv[2]))).serve()
