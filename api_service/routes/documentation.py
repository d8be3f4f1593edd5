"""/openapi.json and /docs: the documentation of the API, which Swagger UI renders. And /favicon.ico."""

import gzip
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, current_app, json, request
from werkzeug.exceptions import NotFound

from api_service.http.annotations import HTML, OperationDoc, ResponseDoc, Tag
from api_service.openapi import document_of
from api_service.schemas.responses import DocumentSchema
from shared.web.problems import CommonCode

CACHE = "public, max-age=300"
EXTENSION = "openapi"
SCRIPT = "text/javascript"
TEMPLATES, SWAGGER_UI = files("api_service") / "templates", files("flask_swagger_ui") / "dist"
PAGE = TEMPLATES / "docs.html"
FILES = {
    "start.js": (TEMPLATES / "docs.js", SCRIPT),
    "swagger-ui-bundle.js": (SWAGGER_UI / "swagger-ui-bundle.js", SCRIPT),
    "swagger-ui.css": (SWAGGER_UI / "swagger-ui.css", "text/css"),
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""Swagger UI's style sheet contains its icons as ``data:`` URLs."""

blueprint = Blueprint("documentation", __name__)


@blueprint.get("/openapi.json")
@OperationDoc(Tag.PAGES, {HTTPStatus.OK: ResponseDoc("The document.", DocumentSchema)}, needs_database=False)
def get_document() -> Response:
    """Return the OpenAPI 3.1 document."""
    return _cacheable(json.dumps(_document()), "application/json")


@blueprint.get("/docs")
@OperationDoc(Tag.PAGES, {HTTPStatus.OK: ResponseDoc("The page.", media_type=HTML)}, needs_database=False)
def get_docs() -> Response:
    """Show the document as a page."""
    response = _cacheable(PAGE.read_text(encoding="utf-8"), HTML)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@blueprint.get("/docs/<file>")
@OperationDoc(
    Tag.PAGES,
    {HTTPStatus.OK: ResponseDoc("The file.", media_type="*/*")},
    problems=(CommonCode.NOT_FOUND,),
    needs_database=False,
)
def get_docs_file(file: str) -> Response:
    """Return a script or style sheet of the page."""
    if file not in FILES:
        raise NotFound
    compressed = compressed_file(file)
    is_accepted = request.accept_encodings.quality("gzip") > 0
    response = _cacheable(compressed if is_accepted else gzip.decompress(compressed), FILES[file][1])
    response.vary.add("Accept-Encoding")
    if is_accepted:
        response.content_encoding = "gzip"
    return response


@blueprint.get("/favicon.ico")
@OperationDoc(Tag.PAGES, {HTTPStatus.NO_CONTENT: ResponseDoc("No icon.")}, needs_database=False)
def get_favicon() -> Response:
    """Return no icon, which browsers request for every page."""
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "public, max-age=604800"})


@cache
def compressed_file(name: str) -> bytes:
    """Return the compressed file: Swagger UI is two megabytes of text."""
    return gzip.compress(FILES[name][0].read_bytes())


def _document() -> dict[str, Any]:
    """Return the document, built on first use."""
    extensions = current_app.extensions
    if EXTENSION not in extensions:
        extensions[EXTENSION] = document_of(current_app)
    document: dict[str, Any] = extensions[EXTENSION]
    return document


def _cacheable(content: str | bytes, mimetype: str) -> Response:
    response = Response(content, mimetype=mimetype)
    response.headers["Cache-Control"] = CACHE
    return response
