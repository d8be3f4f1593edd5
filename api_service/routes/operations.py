"""/livez, /readyz and /metrics, for whoever runs the service; and /favicon.ico, for browsers."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from api_service.errors import Code
from api_service.metrics import exposition
from api_service.problems import problem
from api_service.services import services

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
def get_livez() -> Response:
    """Say that the process answers, whatever the database does."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def get_readyz() -> Response:
    """Say whether requests can be served, and what is missing if not."""
    missing = services().readiness.lacking()
    return problem(Code.NOT_READY, missing=missing) if missing else jsonify(status="ready")


@blueprint.get("/favicon.ico")
def get_favicon() -> Response:
    """Say that there is no icon, which every browser asks for beside a page."""
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "public, max-age=604800"})


@blueprint.get("/metrics")
def get_metrics() -> Response:
    """Give the counts to Prometheus."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
