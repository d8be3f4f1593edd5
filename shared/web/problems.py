"""Every refusal and every failure as application/problem+json (RFC 9457); what a problem looks like to its asker."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from shared.db.engine import DATABASE_FAILURES, is_database_unavailable
from shared.db.errors import describe
from shared.log import get_logger
from shared.web.bearer import challenge
from shared.web.kinds import MEDIA_TYPE, code_of
from shared.web.refusals import CommonCode, Fault

log = get_logger("web.problems")

RETRY_AFTER_SECONDS = 2
"""For a database that is away: a restart takes about that long."""

AnswerFor = Callable[[StrEnum], Response]
"""How a service answers for a code."""


def handle_failures(app: Flask, answer_for: AnswerFor) -> None:
    """Have the app answer by ``answer_for`` what Werkzeug refuses, and while the database is away."""
    app.register_error_handler(HTTPException, partial(_from_werkzeug, answer_for))
    for failure in DATABASE_FAILURES:
        app.register_error_handler(failure, partial(database_unavailable, answer_for))


def json_answer(document: dict[str, Any], realm: str) -> Response:
    """Return the answer that has the problem's document; a 401 says what it asks for."""
    answer = jsonify(document)
    answer.status_code = document["status"]
    answer.mimetype = MEDIA_TYPE
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = challenge(realm, document["code"])
    return answer


def fault_documents(faults: list[Fault], words: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the JSON of faults, each in the service's words."""
    return [{"pointer": fault.pointer, "code": fault.code, "message": words[fault.code]} for fault in faults]


def database_unavailable(answer_for: AnswerFor, error: Exception) -> Response:
    """Answer that the database is away, and log in which way; raise again what means something else."""
    if not is_database_unavailable(error):
        raise error
    log.warning("database unavailable", request_id=g.request_id, **describe(error))
    return with_retry_after(answer_for(CommonCode.DATABASE_UNAVAILABLE), RETRY_AFTER_SECONDS)


def with_retry_after(answer: Response, seconds: int) -> Response:
    """Return the answer, which then says in how many seconds to ask again."""
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _from_werkzeug(answer_for: AnswerFor, error: HTTPException) -> Response:
    answer = answer_for(code_of(HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)))
    own_headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    answer.headers.update(own_headers)
    return answer
