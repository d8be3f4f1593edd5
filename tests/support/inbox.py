"""A running inbox: a real mail server and SMS gateway in a separate process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from devstack.inbox.client import InboxClient

SMS_TOKEN = "sms-token-of-the-tests"
END_SECONDS = 5


class Inbox(InboxClient):
    """Queries the inbox for received messages, and returns the provider URLs for relays."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, smtp_port: int, http_url: str) -> None:
        super().__init__(http_url)
        self.process = process
        self.folder = folder
        self.smtp_port = smtp_port
        self.http_port = urlsplit(http_url).port or 0

    @property
    def email_provider(self) -> str:
        return f"smtp://127.0.0.1:{self.smtp_port}?tls=none"

    @property
    def sms_provider(self) -> str:
        return f"http+json://{SMS_TOKEN}@127.0.0.1:{self.http_port}/sms"

    @property
    def log(self) -> str:
        return (self.folder / "inbox.log").read_text()

    @property
    def sms_url(self) -> str:
        return f"{self.http_url}/sms"


@contextmanager
def running_inbox(folder: Path, *, smtp_port: int = 0, http_port: int = 0) -> Iterator[Inbox]:
    """Run an inbox over that folder, on free or given ports, and stop it at the end."""
    command = [sys.executable, "-c", "from devstack.cli import main; main()", "inbox"]
    options = [f"--smtp-port={smtp_port}", f"--http-port={http_port}", f"--folder={folder}", f"--sms-token={SMS_TOKEN}"]
    log = (folder / "inbox.log").open("a")
    with log, subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        try:
            smtp_url, http_url = process.stdout.readline().split()
            inbox = Inbox(process, folder, urlsplit(smtp_url).port or 0, http_url)
            try:
                yield inbox
            finally:
                inbox.close()
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
