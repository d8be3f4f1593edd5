"""A Kannel for the tests, if it is installed: bearerbox, smsbox, and a connection to an SMSC over SMPP."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import plain_http
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

CONFIGURATION = """
group = core
admin-port = {admin}
admin-password = pw
smsbox-port = {smsbox}
box-allow-ip = 127.0.0.1
log-level = 1
dlr-storage = internal

{carrier}
group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-level = 1
http-request-retry = 100
http-queue-delay = 1

group = sendsms-user
username = us
password = pw
max-messages = 3

group = sms-service
keyword = default
text = ""
max-messages = 0
"""

OVER_SMPP = """group = smsc
smsc = smpp
smsc-id = carrier
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = us
smsc-password = pw
system-type = ""
reconnect-delay = 1
"""

FAKE = """
group = smsc
smsc = fake
smsc-id = carrier
host = 127.0.0.1
port = {port}
connect-allow-ip = 127.0.0.1
"""
"""Kannel's own SMSC for tests. It reports each message as delivered once a client has read it."""
FAKE_CLIENT = Path("/usr/lib/kannel/test/fakesmsc")


@dataclass(frozen=True)
class Kannel:
    """A running Kannel."""

    sendsms: int
    folder: Path

    @property
    def provider(self) -> str:
        """The SMS_PROVIDERS setting for this server."""
        return f"kannel://us:pw@127.0.0.1:{self.sendsms}?from=Signpost&tls=none"


@contextmanager
def kannel(smsc_port: int, carrier: str = OVER_SMPP) -> Iterator[Kannel]:
    """Run a Kannel that is connected to the SMSC at that port of loopback."""
    programs = [shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in ("bearerbox", "smsbox")]
    if not all(programs):
        pytest.skip("this machine has no Kannel")
    with tempfile.TemporaryDirectory(prefix="signpost-kannel-") as name:
        folder = Path(name)
        ports = {box: unused_port() for box in ("admin", "smsbox", "sendsms")}
        configuration = folder / "kannel.conf"
        configuration.write_text(CONFIGURATION.format(carrier=carrier.format(port=smsc_port), **ports))
        processes = []
        try:
            for program, port in zip(programs, (ports["admin"], ports["sendsms"]), strict=True):
                with (folder / f"{port}.log").open("wb") as log:
                    started = subprocess.Popen(
                        [str(program), "-v", "1", str(configuration)], cwd=folder, stdout=log, stderr=log
                    )
                processes.append(started)
                eventually(lambda port=port: responds(port))
            yield Kannel(ports["sendsms"], folder)
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


@contextmanager
def kannel_with_fake_smsc() -> Iterator[Kannel]:
    """Run a Kannel with its own SMSC for tests, and a client that reads the messages."""
    if not FAKE_CLIENT.exists():
        pytest.skip("this machine has no fakesmsc of Kannel")
    port = unused_port()
    with kannel(port, FAKE) as running:
        client = subprocess.Popen(
            [FAKE_CLIENT, "-H", "127.0.0.1", "-r", str(port), "-m", "0", "1 2 text unsent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield running
        finally:
            client.kill()
            client.wait()


def responds(port: int) -> bool:
    try:
        plain_http.get(f"http://127.0.0.1:{port}/", timeout=5)
    except httpx.TransportError:
        return False
    return True
