"""What Kannel's answer to sendsms says about whose fault it was; a table, no IO.

Source: the user's guide, "Using the HTTP interface to SMS services", and gw/smsbox.c of Kannel 1.4.
The status is too coarse: 403 is both a wrong password and a number that has no route.
"""

from outbox_relay.model import FailureClass

_KINDS = {
    "Number(s) has/have been denied": FailureClass.RECIPIENT,  # by white- or black-lists
    "Missing receiver number": FailureClass.RECIPIENT,
    "Empty receiver number": FailureClass.RECIPIENT,
    "Charset or body misformed": FailureClass.CONTENT,
    "Empty text not allowed": FailureClass.CONTENT,
}
_ABOUT_LETTER = (*_KINDS, "Not routable")
_ABOUT_US = ("Authorization failed", "Sender missing", "Temporal failure")
_ABOUT_A_REQUEST = frozenset({400, 500})


def from_kannel_words(words: str) -> FailureClass:
    """Classify a refusal by how its text begins; what is not in the table is the provider's fault.

    So is "Not routable. Do not try again.": a route that is missing may be our set-up's fault, and
    another provider may have it.
    """
    return next((kind for begin, kind in _KINDS.items() if words.startswith(begin)), FailureClass.PROVIDER)


def is_about_letter(status: int, words: str) -> bool:
    """Tell whether a refusal is about this letter, and not about us or about all that Kannel is connected to."""
    return words.startswith(_ABOUT_LETTER) or (status in _ABOUT_A_REQUEST and not words.startswith(_ABOUT_US))
