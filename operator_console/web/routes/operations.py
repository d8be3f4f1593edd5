"""/livez, /readyz and /metrics, for monitoring."""

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST

from migrations.revisions import REVISIONS
from operator_console.web.access import public
from operator_console.web.metrics import exposition
from operator_console.web.problems import problem
from operator_console.web.services import services
from shared.web.problems import CommonCode
from shared.web.readiness import missing_requirements

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
@public
def get_livez() -> Response:
    """Return that the process responds, without a query to the database."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@public
def get_readyz() -> Response:
    """Return whether the console can serve operators, or a list of missing requirements."""
    missing = missing_requirements(services().engine, REVISIONS)
    return problem(CommonCode.NOT_READY, missing=missing) if missing else jsonify(status="ready")


@blueprint.get("/metrics")
@public
def get_metrics() -> Response:
    """Return the metrics for Prometheus."""
    return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
