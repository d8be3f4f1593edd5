"""The OpenAPI document is valid and complete, and equals docs/reference/openapi.yaml."""

import gzip
import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from apispec.yaml_utils import dict_to_yaml
from flask import Flask

from api_service.app import add_routes
from api_service.errors import CODES, Code, NotYetError
from api_service.http.annotations import operation_doc_of
from api_service.http.problems import PROBLEM_TYPES
from api_service.openapi import document_of
from shared.web.problems import CommonCode
from tests.support.keys import SECRET_KEYS
from tests.support.processes import completed

KEPT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.yaml"
NOT_OF_AN_OPERATION = {CommonCode.METHOD_NOT_ALLOWED, Code.NO_ORGANIZATIONS}
"""Problems for requests that match no operation. With ORGANIZATIONS=off, none of organizations exists."""


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask("api_service", static_folder=None)
    add_routes(app)
    return app


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    return document_of(app)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@pytest.mark.slow
def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    # Imported here because the import takes seconds, which all collecting processes would spend.
    import_module("openapi_spec_validator").OpenAPIV31SpecValidator(document).validate()


def test_the_document_describes_exactly_the_routes(app: Flask, document: dict[str, Any]) -> None:
    assert [endpoint for endpoint, view in app.view_functions.items() if not operation_doc_of(view)] == []
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert operations(document).keys() == served


def test_each_problem_is_listed_by_an_operation_under_its_status(document: dict[str, Any]) -> None:
    named = {
        (name, status)
        for operation in operations(document).values()
        for status, response in operation["responses"].items()
        for name in codes_in(document, response)
    }

    assert named == {(code.value, str(PROBLEM_TYPES[code].status)) for code in set(CODES) - NOT_OF_AN_OPERATION}


def test_the_document_lists_retry_after_for_each_problem_that_has_it(document: dict[str, Any]) -> None:
    documented = {
        name for name, response in document["components"]["responses"].items() if "Retry-After" in response["headers"]
    }
    assert documented == {refusal.code for refusal in NotYetError.__subclasses__()} | {CommonCode.DATABASE_UNAVAILABLE}


def codes_in(document: dict[str, Any], response: dict[str, Any]) -> list[str]:
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return list(response.get("content", {}).get("application/problem+json", {}).get("examples", {}))


def test_authentication_and_idempotency_in_the_document_follow_the_code(document: dict[str, Any]) -> None:
    signed_in = {path for (_, path), operation in operations(document).items() if operation["security"]}
    assert signed_in == {
        path
        for _, path in operations(document)
        if path.startswith(("/v1/me", "/v1/sessions/{", "/v1/sessions/current", "/v1/organizations/"))
    } | {"/v1/sessions", "/v1/invitations/accept"}

    keyed = {
        path
        for (_, path), operation in operations(document).items()
        if {"$ref": "#/components/parameters/Idempotency-Key"} in operation["parameters"]
    }
    posts = {path for method, path in operations(document) if method == "POST" and path.startswith("/v1/")}
    assert keyed == posts - {"/v1/sessions", "/v1/sessions/refresh"}


def test_the_command_prints_the_document_without_any_settings(document: dict[str, Any]) -> None:
    printed = completed(("api-service", "openapi"), {})

    assert json.loads(printed.stdout) == document
    assert SECRET_KEYS not in printed.stdout


def test_the_committed_document_is_current(document: dict[str, Any]) -> None:
    served = json.loads(json.dumps(document))  # plain types only: YAML would write Python class names
    written = dict_to_yaml(served, {"sort_keys": False, "allow_unicode": True, "width": 100})
    if os.environ.get("RENEW_DOCS"):
        KEPT.write_text(written)
    assert KEPT.read_text() == written, "RENEW_DOCS=1 .venv/bin/pytest tests/contract/test_openapi.py"


def test_the_committed_document_is_plain_yaml(document: dict[str, Any]) -> None:
    assert yaml.safe_load(KEPT.read_text()) == document


def test_the_page_loads_only_files_that_the_api_serves(app: Flask) -> None:
    client = app.test_client()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").text)

    assert "docs/swagger-ui-bundle.js" in loaded
    assert [client.get(f"/{path}").status for path in loaded] == ["200 OK"] * len(loaded)
    assert client.get("/docs/unknown.js").status == "404 NOT FOUND"


def test_the_files_of_the_page_are_compressed_for_clients_that_accept_it(app: Flask) -> None:
    client = app.test_client()
    plain = client.get("/docs/swagger-ui.css")
    compressed = client.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.data) == plain.data
    assert plain.headers["Vary"] == compressed.headers["Vary"] == "Accept-Encoding"
