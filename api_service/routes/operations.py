"""/livez, /readyz and /metrics for operators, and /favicon.ico for browsers."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from api_service.http.annotations import OperationDoc, ResponseDoc, Tag
from api_service.http.problems import problem
from api_service.metrics import exposition
from api_service.schemas.responses import StatusSchema
from api_service.services import services
from migrations.revisions import REVISIONS
from shared.web.problems import CommonCode
from shared.web.readiness import missing_requirements

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
@OperationDoc(Tag.OPERATIONS, {HTTPStatus.OK: ResponseDoc("The process responds.", StatusSchema)}, needs_database=False)
def get_livez() -> Response:
    """Report that the process responds, in any state of the database."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@OperationDoc(
    Tag.OPERATIONS,
    {HTTPStatus.OK: ResponseDoc("The service is ready.", StatusSchema)},
    problems=(CommonCode.NOT_READY,),
    needs_database=False,
)
def get_readyz() -> Response:
    """Report whether the service can serve requests, and the missing requirements."""
    missing = missing_requirements(services().engine, REVISIONS)
    return problem(CommonCode.NOT_READY, missing=missing) if missing else jsonify(status="ready")


@blueprint.get("/favicon.ico")
@OperationDoc(Tag.OPERATIONS, {HTTPStatus.NO_CONTENT: ResponseDoc("No icon.")}, needs_database=False)
def get_favicon() -> Response:
    """Return no icon, which browsers request for every page."""
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "public, max-age=604800"})


@blueprint.get("/metrics")
@OperationDoc(
    Tag.OPERATIONS, {HTTPStatus.OK: ResponseDoc("The metrics.", media_type="text/plain")}, needs_database=False
)
def get_metrics() -> Response:
    """Return metrics in Prometheus' text format."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
