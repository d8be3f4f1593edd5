"""What was just done, said once: by a cookie for the page that the browser is sent to, which that page takes back.

An address that told it would tell it again at each reload, and to whoever has kept it.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Response, current_app, request

from operator_console.web.words import DONE, NOT_DONE

IS_SECURE = "NOTE_COOKIE_SECURE"
"""What the app's configuration calls it that people come by https."""
COOKIE = "signpost-console-note"
KEPT_SECONDS = 60
"""For a page that nobody comes to see."""


@dataclass(frozen=True)
class Note:
    """A sentence of ours; it is not good where nothing was done."""

    text: str
    is_good: bool


def leave_note(answer: Response, word: str, address: str) -> None:
    """Have the page at that address of ours, and no other, say what the word of DONE stands for."""
    answer.set_cookie(COOKIE, word, max_age=KEPT_SECONDS, **_kept_at(urlsplit(address).path))


def note_left() -> Note | None:
    """Return what the page that is asked for is to say; what answers a form is another page."""
    word = request.cookies.get(COOKIE, "") if request.method == "GET" else ""
    return Note(DONE[word], is_good=word not in NOT_DONE) if word in DONE else None


def take_note_back(answer: Response) -> None:
    """Have the page that was asked for say it no more."""
    answer.delete_cookie(COOKIE, **_kept_at(request.path))


def _kept_at(path: str) -> dict[str, Any]:
    return {"path": path, "httponly": True, "samesite": "Strict", "secure": current_app.config[IS_SECURE]}
