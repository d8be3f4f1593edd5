"""What the machine allows without any outbox: other senders of the same mail, prepared."""

import smtplib
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.ground import Ground, of_postfix
from bench.mails import SENDER, mail_in
from bench.relaying import CONNECTIONS, mail_sink
from devstack.ports import LOOPBACK
from shared.vocabulary import Locale

RECIPIENT = "someone@example.org"
SECONDS_AT_MOST = 60


@dataclass(frozen=True)
class Limit:
    """A way to send so many mails to a port."""

    send: Callable[[int, int], None]
    program: str | None = None
    """One of Postfix's, without which it cannot be measured."""

    @property
    def is_there(self) -> bool:
        """Whether the machine has what it takes."""
        return self.program is None or of_postfix(self.program) is not None

    def __call__(self, ground: Ground, messages: int) -> float:
        """Return mails a second."""
        with mail_sink(ground) as port:
            began = time.perf_counter()
            self.send(port, messages)
            return messages / (time.perf_counter() - began)


def by_smtp_source(port: int, messages: int) -> None:
    """Send mails of the same size by Postfix's own, on connections that it keeps; it makes up their content."""
    length = str(len(mail_in(Locale.EN).content))
    program = of_postfix("smtp-source") or "smtp-source"
    options = ("-d", "-s", str(CONNECTIONS), "-m", str(messages), "-l", length, "-t", RECIPIENT, "-f", SENDER.address)
    subprocess.run([program, *options, f"{LOOPBACK}:{port}"], check=True, capture_output=True, timeout=SECONDS_AT_MOST)


def by_smtplib(port: int, messages: int) -> None:
    """Send prepared mails by the standard library, from as many threads as the relay has connections."""
    content = mail_in(Locale.EN).content

    def send(count: int) -> None:
        with smtplib.SMTP(LOOPBACK, port) as client:
            for _ in range(count):
                client.sendmail(SENDER.address, RECIPIENT, content)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(send, [messages // CONNECTIONS] * CONNECTIONS))


LIMITS = {
    "smtp-source": Limit(by_smtp_source, program="smtp-source"),
    "smtplib in threads, prepared mails": Limit(by_smtplib),
}
