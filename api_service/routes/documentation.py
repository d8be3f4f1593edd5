"""/openapi.json and /docs: what can be asked of the API, for programs and for people."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, json

from api_service.answer_schemas import DocumentSchema
from api_service.describing import HTML, Answer, Description, Tag, described
from api_service.openapi import document_of, page_of

CACHE = "public, max-age=300"
EXTENSION = "openapi"

blueprint = Blueprint("documentation", __name__)


@blueprint.get("/openapi.json")
@described(Description(Tag.PAGES, {HTTPStatus.OK: Answer("The document.", DocumentSchema)}, needs_database=False))
def get_document() -> Response:
    """Describe the API to programs (OpenAPI 3.1)."""
    answer = Response(json.dumps(_document()), mimetype="application/json")
    answer.headers["Cache-Control"] = CACHE
    return answer


@blueprint.get("/docs")
@described(Description(Tag.PAGES, {HTTPStatus.OK: Answer("The page.", media_type=HTML)}, needs_database=False))
def get_docs() -> Response:
    """Describe the API to people."""
    page = page_of(_document())
    answer = Response(page.html, mimetype=HTML)
    answer.headers.update(page.headers)
    answer.headers["Cache-Control"] = CACHE
    return answer


def _document() -> dict[str, Any]:
    """Return the app's document, which is made when it is first asked for."""
    kept = current_app.extensions
    if EXTENSION not in kept:
        kept[EXTENSION] = document_of(current_app)
    document: dict[str, Any] = kept[EXTENSION]
    return document
