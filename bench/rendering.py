"""What it costs to render a mail, beside building the same mail with the standard library.

The builder is given its words ready-made, so it does less: no template, no code, no link.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import uuid4

from outbox_relay.messages import ClaimedMessage
from outbox_relay.rendering import Renderer, Sender
from outbox_relay.rendering.mail import MailWords, compose
from outbox_relay.rendering.values import header_date
from shared.ids import uuid7
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Locale, Template

SENDER = Sender("Signpost", "no-reply@signpost.example")
ROUNDS = 20
"""The quickest of so many rounds counts: what others do on the machine only ever adds."""


def measure_rendering() -> dict[str, float]:
    """Return microseconds of CPU per activation mail, rendered and built, and how many times more the latter is."""
    renderer = Renderer(SecretKeys({"bench": b"b" * 32}), "https://signpost.example", SENDER)
    message = _message()
    words = _words_of(renderer.render(message))
    rendered = _microseconds(lambda: renderer.render(message), times=500)
    built = _microseconds(lambda: _built(message, words), times=20)
    return {"rendered_us": rendered, "built_us": built, "ratio": built / rendered}


def _message() -> ClaimedMessage:
    now = datetime.now(UTC)
    return ClaimedMessage(
        id=uuid7(),
        template=Template.ACTIVATION,
        channel=Channel.EMAIL,
        recipient="ada@example.org",
        locale=Locale.EN,
        payload={"name": "Ada Lovelace", "key_id": "bench"},
        token_id=uuid4(),
        attempt=0,
        max_attempts=8,
        expiries=0,
        created_at=now,
        due_at=now,
        expires_at=now + timedelta(days=1),
        lease_token=uuid4(),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )


def _words_of(content: bytes) -> MailWords:
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    text, html = (str(part.get_content()) for part in mail.iter_parts())
    return MailWords(str(mail["Subject"]), text, html)


def _built(message: ClaimedMessage, words: MailWords) -> bytes:
    mail = compose(words, SENDER, message.locale)
    mail["Date"] = header_date(message.created_at)
    mail["Message-ID"] = f"<{message.id}@{SENDER.domain}>"
    mail["To"] = message.recipient
    return mail.as_bytes()


def _microseconds(work: Callable[[], bytes], *, times: int) -> float:
    return min(_round(work, times) for _ in range(ROUNDS)) / times * 1e6


def _round(work: Callable[[], bytes], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - begun


def main() -> None:
    """Print what was measured."""
    found = measure_rendering()
    print(f"rendered  {found['rendered_us']:8.1f} µs of CPU for each activation mail")
    print(f"built     {found['built_us']:8.1f} µs with email.message.EmailMessage, {found['ratio']:.0f} times as much")


if __name__ == "__main__":
    main()
