"""What it costs to render a mail and an SMS, beside building the same mail with the standard library.

Each message has an id, a token, an address, a name and a language of its own. The builder is given its words
ready-made, so it does less: no template, no code, no link. The three take turns.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import cycle, islice
from typing import TypeVar

from outbox_relay.messages import ClaimedMessage
from outbox_relay.rendering import Renderer, Sender
from outbox_relay.rendering.mail import MailWords, compose
from outbox_relay.rendering.samples import fresh_activation
from outbox_relay.rendering.values import header_date
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Locale

SENDER = Sender("Signpost", "no-reply@signpost.example")
NAMES = ("Ada Lovelace", "Grace Hopper", "José Ramírez", "Jean-Luc Moreau", "Kate O'Brien", "Li Wei", None, "Zoë")
LOCALES = (Locale.EN, Locale.EN, Locale.FR)
MESSAGES, BUILT = 400, 20
"""How many messages each round renders, and how many of them it builds."""

ROUNDS = 30
"""Of so many rounds the quickest counts, where nobody says otherwise: what others do on the machine only ever adds."""

Work = TypeVar("Work")


def measure_rendering(rounds: int = ROUNDS) -> dict[str, float]:
    """Return microseconds of CPU per activation mail, rendered and built, their ratio, and those per rendered SMS."""
    render = Renderer(SecretKeys({"bench": b"b" * 32}), "https://signpost.example", SENDER).render
    mails = [_message(number, name) for number, name in enumerate(islice(cycle(NAMES), MESSAGES))]
    short = [mail._replace(channel=Channel.SMS, recipient="+33612345678") for mail in mails]
    ready = [(mail, _words_of(render(mail))) for mail in mails[:BUILT]]
    took = [
        (_microseconds(render, mails), _microseconds(_built, ready), _microseconds(render, short))
        for _ in range(rounds)
    ]
    rendered, built, sms = map(min, zip(*took, strict=True))
    return {"rendered_us": rendered, "built_us": built, "ratio": built / rendered, "sms_us": sms}


def _message(number: int, name: str | None) -> ClaimedMessage:
    message = fresh_activation(Channel.EMAIL, LOCALES[number % len(LOCALES)], "bench", name=name)
    return message._replace(
        recipient=f"user-{number}@example.org", created_at=message.created_at + number * timedelta(milliseconds=5)
    )


def _words_of(content: bytes) -> MailWords:
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    text, html = (str(part.get_content()) for part in mail.iter_parts())
    return MailWords(str(mail["Subject"]), text, html)


def _built(ready: tuple[ClaimedMessage, MailWords]) -> bytes:
    message, words = ready
    mail = compose(words, SENDER, message.locale)
    mail["Date"] = header_date(message.created_at).decode()
    mail["Message-ID"] = f"<{message.id}@{SENDER.domain}>"
    mail["To"] = message.recipient
    return mail.as_bytes()


def _microseconds(do: Callable[[Work], bytes], works: Sequence[Work]) -> float:
    begun = time.process_time()
    for work in works:
        do(work)
    return (time.process_time() - begun) / len(works) * 1e6


def main() -> None:
    """Print what was measured."""
    found = measure_rendering()
    print(f"rendered  {found['rendered_us']:8.1f} µs of CPU for each activation mail")
    print(f"built     {found['built_us']:8.1f} µs with email.message.EmailMessage, {found['ratio']:.0f} times as much")
    print(f"SMS       {found['sms_us']:8.1f} µs for each, rendered")


if __name__ == "__main__":
    main()
