"""Mail servers in separate processes, so that a test can kill them.

Such a server writes each mail that it accepts to a file before it replies.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.forwarding import unused_port
from tests.support.http_gateway import HttpGateway, Request, answer
from tests.support.mail_sink import MailSink

REPLY_SECONDS = 0.02


@dataclass
class MailServerProcess:
    """A server on one port, which starts again after a kill. With ``certificate``, it takes raw mails over HTTPS.

    ``file`` has a line with the Message-ID and the recipient of each accepted mail.
    """

    file: Path
    certificate: Path | None = None
    port: int = field(default_factory=unused_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        arguments = [str(self.port), str(self.file), *([str(self.certificate)] if self.certificate else [])]
        self._process = subprocess.Popen([sys.executable, "-m", __name__, *arguments])

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def accepted(self) -> list[tuple[str, str]]:
        """Return the Message-ID and the recipient of each mail. A kill may have cut the last line off."""
        lines = self.file.read_text().splitlines(keepends=True) if self.file.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines if line.endswith("\n")]


class WritingSink(MailSink):
    """A mail sink that writes what arrives to a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.reply_seconds = REPLY_SECONDS
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def record(self, recipient: str, message_id: str) -> None:
        os.write(self._file, f"{message_id} {recipient.strip().removeprefix('RCPT TO:').strip('<>')}\n".encode())


async def serve_https(sink: WritingSink, port: int, certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def take(request: Request) -> bytes:
        sink.take(request.headers["x-envelope-to"], request.content)
        return answer(202)

    async with HttpGateway(take, context, port=port):
        await asyncio.Event().wait()


def main(port: str, file: str, certificate: str | None = None) -> None:
    sink = WritingSink(Path(file))
    if certificate:
        asyncio.run(serve_https(sink, int(port), Path(certificate)))
    else:
        sink.port = int(port)
        sink.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
