"""One GET of sendsms for each letter.

Source: the Kannel user's guide, "Using the HTTP interface to SMS services". A GET, since what calls
itself Kannel elsewhere often takes no POST. There is no idempotency key: a letter whose answer was lost
may arrive twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outbox_relay.channels.http.session import Answer
from outbox_relay.channels.kannel.words import from_kannel_words, is_about_letter
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from outbox_relay.segments import Alphabet, alphabet_of

ACCEPTED = 202
ACCEPTED_WORDS = ("0: Accepted", "3: Queued")
"""How the yes begins of those that speak like Kannel but say 200."""

_CODING = {Alphabet.GSM_7: "0", Alphabet.UCS_2: "2"}


@dataclass(frozen=True)
class KannelApi:
    """A smsbox whose sendsms is at ``url``; ``sender`` may be empty where Kannel has one of its own."""

    name: str
    url: str
    user: str
    password: str = field(repr=False)
    sender: str

    def request(self, letter: RenderedMessage) -> Mapping[str, Any]:
        """Ask to send a letter; Kannel cuts a long one into segments itself."""
        text = letter.content.decode()
        params = {
            "username": self.user,
            "password": self.password,
            "to": letter.message.recipient,
            "text": text,
            "coding": _CODING[alphabet_of(text)],
            "charset": "UTF-8",
        }
        return {"method": "GET", "url": self.url, "params": params | ({"from": self.sender} if self.sender else {})}

    def fate(self, answer: Answer) -> Sent | Failure:
        """Understand the answer: accepted, or queued because its SMSC is away, which Kannel answers for."""
        words = answer.text
        if answer.status == ACCEPTED or (answer.is_success and words.startswith(ACCEPTED_WORDS)):
            return Sent(self.name)
        if answer.is_success and any(yes.startswith(words) for yes in ACCEPTED_WORDS):
            # It may have accepted: to ask again at no cost could go on for ever.
            error = f"HTTP {answer.status} without a whole answer"
            return Failure(FailureClass.TRANSIENT, self.name, error, maybe_accepted=True)
        is_reply = is_about_letter(answer.status, words)
        return answer.failure(self.name, from_kannel_words(words), words=words, is_reply=is_reply)
