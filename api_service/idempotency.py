"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a request repeated is a request carried out once.

A route is marked ``@idempotent``. Inside the transaction that does what is asked for it calls ``take_key``
before the first write and ``keep`` after the last; both do nothing for a request without a key.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import UUID

from flask import Response, g, json, make_response, request
from sqlalchemy.orm import Session

from api_service.describing import Mark, marked
from api_service.errors import KeyInUseError, KeyMalformedError
from api_service.limiting import give_all_back
from api_service.services import services
from api_service.use_cases import kept_answers
from api_service.use_cases.kept_answers import Answer, AnsweredMeanwhileError, RequestKey
from shared.secrets import request_mac
from shared.web.refusals import Refusal

View = Callable[..., Response]

KEPT_HEADERS = ("Content-Type", "Location")
SECRET_MEMBERS = ("access_token", "refresh_token")
"""Never at rest: a repetition is told all but these, and its client signs in."""

# A string of RFC 9651, or what most clients send: the same without quotes. Shorter ones would be no
# secret of the client, nor its own: another's request would be refused for having the same.
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){16,255})"')
_BARE = re.compile(r"[A-Za-z0-9._~:/+=@-]{16,255}")


def idempotent(view: View) -> View:
    """Have the route's repetitions answered as its first request was; ``g.user_id``, if set, has keys of its own."""

    @wraps(view)
    def once(*parts: Any, **arguments: Any) -> Response:
        offered = request.headers.get("Idempotency-Key")
        if offered is None:
            return view(*parts, **arguments)
        g.request_key = request_key(key_of(offered))
        answer = _kept()
        return _repeated(answer) if answer else _carried_out(partial(view, *parts, **arguments))

    return marked(once, Mark.IDEMPOTENT)


def take_key(session: Session) -> None:
    """Make the request's key the transaction's own, if it has one. Raises KeyInUseError."""
    if "request_key" in g:
        kept_answers.take_key(session, g.request_key)


def keep(session: Session, answer: Response, user_id: UUID | None = None) -> Response:
    """Add the answer to the transaction, if the request has a key, and return it.

    It tells of that user, or of whoever is signed in, and is not kept for longer than they are.
    """
    if "request_key" in g:
        headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
        told = Answer(answer.status_code, headers, _body_at_rest(answer))
        kept_answers.keep(session, g.request_key, told, user_id or g.get("user_id"))
    return answer


def key_of(header: str) -> str:
    """Read the header. Raises KeyMalformedError."""
    if quoted := _QUOTED.fullmatch(header):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(header):
        return header
    raise KeyMalformedError


def request_key(key: str) -> RequestKey:
    """Return what the present request is recognised by, so that nothing of it can be found from that."""
    route = request.url_rule.rule if request.url_rule else ""
    place = "\0".join((request.method, route, str(g.get("user_id", "")), key))
    said = f"{request.method}\0{request.path}\0".encode() + request.get_data()
    macs = tuple(request_mac(said, server_key) for server_key in services().keys.by_id.values())
    return RequestKey(hashlib.sha256(place.encode()).digest(), macs)


def _body_at_rest(answer: Response) -> str:
    if not answer.is_json:
        return answer.get_data(as_text=True)
    return json.dumps({name: value for name, value in answer.get_json().items() if name not in SECRET_MEMBERS})


def _carried_out(view: View) -> Response:
    """Return what the view answers; a repetition that overlapped the first request counts against no limit either."""
    try:
        return view()
    except AnsweredMeanwhileError as meanwhile:
        answer = meanwhile.answer
    except KeyInUseError:
        give_all_back()
        raise
    except Refusal:
        # It may be refused for what the first request has done since the first look: its code is used up now.
        found = _kept()
        if found is None:
            raise
        answer = found
    give_all_back()
    return _repeated(answer)


def _kept() -> Answer | None:
    with services().sessions.begin() as session:
        return kept_answers.kept_answer(session, g.request_key)


def _repeated(answer: Answer) -> Response:
    again = make_response(answer.body, answer.status, dict(answer.headers))
    again.headers["Idempotency-Replayed"] = "true"
    return again
