"""/livez, /readyz and /metrics, for whoever runs the service; and /favicon.ico, for browsers."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from api_service.answer_schemas import StatusSchema
from api_service.describing import Answer, Description, Tag, described
from api_service.metrics import exposition
from api_service.problems import problem
from api_service.services import services
from migrations.revisions import REVISIONS
from shared.web.readiness import lacking
from shared.web.refusals import CommonCode

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
@described(Description(Tag.OPERATIONS, {HTTPStatus.OK: Answer("It does.", StatusSchema)}, needs_database=False))
def get_livez() -> Response:
    """Say that the process answers, whatever the database does."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@described(
    Description(
        Tag.OPERATIONS,
        {HTTPStatus.OK: Answer("They can.", StatusSchema)},
        refusals=(CommonCode.NOT_READY,),
        needs_database=False,
    )
)
def get_readyz() -> Response:
    """Say whether requests can be served, and what is missing if not."""
    missing = lacking(services().engine, REVISIONS)
    return problem(CommonCode.NOT_READY, missing=missing) if missing else jsonify(status="ready")


@blueprint.get("/favicon.ico")
@described(Description(Tag.OPERATIONS, {HTTPStatus.NO_CONTENT: Answer("There is none.")}, needs_database=False))
def get_favicon() -> Response:
    """Say that there is no icon, which every browser asks for beside a page."""
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "public, max-age=604800"})


@blueprint.get("/metrics")
@described(
    Description(Tag.OPERATIONS, {HTTPStatus.OK: Answer("The counts.", media_type="text/plain")}, needs_database=False)
)
def get_metrics() -> Response:
    """Give the counts to Prometheus."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
