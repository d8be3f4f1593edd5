"""An Exim for the tests in a temporary folder, if it is installed: it accepts mails and returns them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from smtplib import SMTP, SMTPException

import pytest

from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

CONFIGURATION = """
exim_path = {program}
primary_hostname = mx.example.org
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
acl_smtp_rcpt = accept
tls_advertise_hosts =
keep_environment =
never_users =

begin routers

full:
  driver = redirect
  domains = example.org : example.com
  local_parts = full
  allow_fail
  data = :fail: 552 5.2.2 mailbox is full

elsewhere:
  driver = manualroute
  domains = !example.org : !example.com
  transport = remote
  route_list = * 127.0.0.1::{relay}
  self = send

begin transports

remote:
  driver = smtp
  allow_localhost
"""


@contextmanager
def exim(*, relay: int, port: int = 0) -> Iterator[int]:
    """Run an Exim that sends its bounces to the port ``relay``, and yield its own port. It needs root."""
    program = shutil.which("exim4") or shutil.which("exim4", path="/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("this machine has no Exim, or the tests do not run as root")
    with tempfile.TemporaryDirectory(prefix="signpost-exim-") as name:
        folder, port = Path(name), port or unused_port()
        folder.chmod(0o755)
        for made in ("spool", "log"):
            (folder / made).mkdir()
            shutil.chown(folder / made, "Debian-exim", "Debian-exim")
        configuration = folder / "exim.conf"
        configuration.write_text(CONFIGURATION.format(program=program, folder=folder, port=port, relay=relay))
        with (folder / "output").open("wb") as output:
            command = [program, "-C", configuration, "-bdf", "-q1h"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            eventually(lambda: _responds(port))
            yield port
        finally:
            process.terminate()
            process.wait()


def _responds(port: int) -> bool:
    with suppress(OSError, SMTPException), SMTP("127.0.0.1", port, timeout=10):
        return True
    return False
