"""/livez, /readyz and /metrics, for whoever runs the console."""

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from migrations.revisions import REVISIONS
from operator_console.web.access import for_anybody
from operator_console.web.metrics import exposition
from operator_console.web.problems import problem
from operator_console.web.services import services
from shared.web.readiness import lacking
from shared.web.refusals import CommonCode

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
@for_anybody
def get_livez() -> Response:
    """Say that the process answers, whatever the database does."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@for_anybody
def get_readyz() -> Response:
    """Say whether operators can be served, and what is missing if not."""
    missing = lacking(services().engine, REVISIONS)
    return problem(CommonCode.NOT_READY, missing=missing) if missing else jsonify(status="ready")


@blueprint.get("/metrics")
@for_anybody
def get_metrics() -> Response:
    """Give the counts to Prometheus."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
