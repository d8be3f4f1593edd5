"""Parse received messages for people and tests. Pure functions of their bytes."""

import json
import re
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

# Six digits that are not part of a longer number, a word or a link.
CODE = re.compile(r"(?<![\w.=/-])\d{6}(?![\w/-])")
LINK = re.compile(r"https?://[^\s<>\"]+")


@dataclass(frozen=True)
class Reading:
    """The parts of a message. An SMS has the gateway's fields as headers, and no HTML."""

    subject: str
    sender: str
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str | None

    @property
    def code(self) -> str | None:
        """The first code in the text."""
        found = CODE.search(self.text)
        return found.group() if found else None

    @property
    def link(self) -> str | None:
        """The first link in the text."""
        found = LINK.search(self.text)
        return found.group() if found else None


def read_email(content: bytes) -> Reading:
    """Parse an RFC 5322 message; missing parts are empty."""
    mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    return Reading(
        subject=str(mail["Subject"] or ""),
        sender=str(mail["From"] or ""),
        headers=tuple((name, str(value)) for name, value in mail.items()),
        text=_part(mail, "plain") or "",
        html=_part(mail, "html"),
    )


def read_sms(content: bytes) -> Reading:
    """Parse the gateway's JSON. An SMS has no subject, so its text is used as one."""
    fields = {name: str(value) for name, value in json.loads(content).items()}
    text = fields.pop("text")
    return Reading(subject=text, sender="", headers=tuple(fields.items()), text=text, html=None)


def _part(mail: EmailMessage, subtype: str) -> str | None:
    part = mail.get_body(preferencelist=(subtype,))
    return None if part is None else str(part.get_content()).replace("\r\n", "\n")
