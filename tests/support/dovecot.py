"""A Dovecot for the tests in a temporary folder, if it is installed: one mailbox over TLS, for any user."""

import imaplib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.certificates import Authority, make_authority
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

USER, PASSWORD = "bounces@signpost.example", "se/cr@et:1"
CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
first_valid_uid = 1
mail_location = maildir:{folder}/mail
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
"""
AUTHENTICATION = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols =
ssl = no
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = {mechanisms}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = plain login scram-sha-256 cram-md5
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
INTROSPECTION = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
"""


@dataclass(frozen=True)
class Dovecot:
    """A Dovecot that listens on a loopback port."""

    program: str
    folder: Path
    port: int
    authority: Authority

    def url(self, password: str = PASSWORD, mailbox: str = "INBOX") -> str:
        """Return the BOUNCE_IMAP_URL setting for this server."""
        return f"imaps://{quote(USER, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{mailbox}"

    def client(self) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL("127.0.0.1", self.port, ssl_context=self.authority.client_context(), timeout=30)
        client.login(USER, PASSWORD)
        return client

    def put(self, mail: bytes, mailbox: str = "INBOX") -> None:
        """Add a mail to the mailbox."""
        with self.client() as client:
            if mailbox != "INBOX":
                client.create(mailbox)
            assert client.append(mailbox, "", "", mail)[0] == "OK"

    def flags(self, mailbox: str = "INBOX") -> list[list[bytes]]:
        """Return the flags of each mail, sorted."""
        with self.client() as client:
            client.select(mailbox, readonly=True)
            found = client.uid("FETCH", "1:*", "(FLAGS)")[1]  # accepts an empty mailbox
        lines = [line for line in found if isinstance(line, bytes)]
        return [sorted(set(imaplib.ParseFlags(line)) - {b"\\Recent"}) for line in lines]

    def start(self) -> None:
        self._run()
        eventually(self._responds)

    def stop(self) -> None:
        self._run("stop")

    def _responds(self) -> bool:
        with suppress(OSError, imaplib.IMAP4.error), self.client():
            return True
        return False

    def _run(self, *command: str) -> None:
        _run(self.program, self.folder, *command)


def _run(program: str, folder: Path, *command: str) -> None:
    arguments = [program, "-c", folder / "dovecot.conf", *command]
    with (folder / "output").open("wb") as output:
        subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _program() -> str:
    program = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("this machine has no Dovecot, or the tests do not run as root")
    return program


@contextmanager
def dovecot_authentication(mechanisms: str, introspection_url: str) -> Iterator[Path]:
    """Run a Dovecot that only checks logins, for a Postfix. Return its socket.

    It checks access tokens with an OAuth2 server (RFC 7662), and accepts PASSWORD for any user.
    """
    program = _program()
    with tempfile.TemporaryDirectory(prefix="signpost-dovecot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        text = AUTHENTICATION.format(folder=folder, mechanisms=mechanisms, password=PASSWORD)
        (folder / "dovecot.conf").write_text(text)
        (folder / "oauth2.conf").write_text(INTROSPECTION.format(url=introspection_url))
        _run(program, folder)
        try:
            eventually((folder / "auth").exists)
            yield folder / "auth"
        finally:
            _run(program, folder, "stop")


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    """Run a Dovecot. It needs root, and writes only to its folder."""
    program = _program()
    with tempfile.TemporaryDirectory(prefix="signpost-dovecot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority = make_authority(folder)
        authority.server_context("IP:127.0.0.1")
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", "nobody", "nogroup")
        server = Dovecot(program, folder, unused_port(), authority)
        text = CONFIGURATION.format(folder=folder, port=server.port, password=PASSWORD)
        (folder / "dovecot.conf").write_text(text)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # it may be stopped already
                server.stop()
