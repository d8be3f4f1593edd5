"""A Postfix for the tests in a temporary folder, if it is installed; by default it discards every message."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from smtplib import SMTP, SMTPException

import pytest

from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

MAIN = """
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
mynetworks = 127.0.0.0/8
default_transport = discard
relay_transport = discard
alias_maps =
"""
MASTER = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
discard unix - - n - - discard
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Postfix:
    """A Postfix that listens on a loopback port while it is started."""

    program: str
    folder: Path
    port: int

    @property
    def provider(self) -> str:
        """The EMAIL_PROVIDERS setting for this server."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def name(self) -> str:
        """The provider's name for operators."""
        return f"smtp:127.0.0.1:{self.port}"

    def start(self) -> None:
        self._run("start")
        eventually(self._responds)

    def stop(self) -> None:
        self._run("stop")

    def _responds(self) -> bool:
        with suppress(OSError, SMTPException), SMTP("127.0.0.1", self.port, timeout=10):
            return True
        return False

    def _run(self, command: str) -> None:
        arguments = [self.program, "-c", self.folder / "etc", command]
        # Postfix's daemons inherit the output, so it goes to a file: a pipe would stay open for as long as they run.
        with (self.folder / "output").open("wb") as output:
            subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


@contextmanager
def postfix(*, port: int = 0, **settings: str) -> Iterator[Postfix]:
    """Run a Postfix on a port, with further settings. It needs root, and writes only to its folder."""
    program = shutil.which("postfix") or shutil.which("postfix", path="/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("this machine has no Postfix, or the tests do not run as root")
    with tempfile.TemporaryDirectory(prefix="signpost-postfix-") as name:
        server = Postfix(program, Path(name), port or unused_port())
        server.folder.chmod(0o755)
        for made in ("etc", "queue", "data"):
            (server.folder / made).mkdir()
        shutil.chown(server.folder / "data", "postfix")
        files = {"main.cf": MAIN, "master.cf": MASTER}
        texts = {made: text.format(folder=server.folder, port=server.port) for made, text in files.items()}
        kept = [line for line in texts["main.cf"].splitlines() if line.partition(" ")[0] not in settings]
        texts["main.cf"] = "\n".join([*kept, *(f"{name} = {value}" for name, value in settings.items()), ""])
        for made, text in texts.items():
            (server.folder / "etc" / made).write_text(text)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # it may be stopped already
                server.stop()
