"""/openapi.json and /docs: the documentation of the API."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, json

from api_service.http.annotations import HTML, ResponseDoc, Tag, documented
from api_service.openapi import document_of, page_of
from api_service.schemas.responses import DocumentSchema

CACHE = "public, max-age=300"
EXTENSION = "openapi"

blueprint = Blueprint("documentation", __name__)


@blueprint.get("/openapi.json")
@documented(Tag.PAGES, {HTTPStatus.OK: ResponseDoc("The document.", DocumentSchema)}, needs_database=False)
def get_document() -> Response:
    """Return the OpenAPI 3.1 document."""
    response = Response(json.dumps(_document()), mimetype="application/json")
    response.headers["Cache-Control"] = CACHE
    return response


@blueprint.get("/docs")
@documented(Tag.PAGES, {HTTPStatus.OK: ResponseDoc("The page.", media_type=HTML)}, needs_database=False)
def get_docs() -> Response:
    """Show the document as a page."""
    page = page_of(_document())
    response = Response(page.html, mimetype=HTML)
    response.headers.update(page.headers)
    response.headers["Cache-Control"] = CACHE
    return response


def _document() -> dict[str, Any]:
    """Return the document, built on first use."""
    extensions = current_app.extensions
    if EXTENSION not in extensions:
        extensions[EXTENSION] = document_of(current_app)
    document: dict[str, Any] = extensions[EXTENSION]
    return document
