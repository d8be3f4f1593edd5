"""/relays: the relays, the providers with their breakers, and the pauses of providers, channels and templates."""

from datetime import timedelta

from flask import Blueprint, Response, url_for

from operator_console.actions.pauses import PauseTarget, count_impact, pause, probe, resume
from operator_console.actions.tokens import Scope
from operator_console.errors import UnknownTargetError
from operator_console.queries.stats import list_pauses, list_providers, list_relays
from operator_console.web.access import current_operator, requires
from operator_console.web.pages import page, redirect_to
from operator_console.web.schemas import PauseForm, read_form, read_form_reason
from operator_console.web.services import services
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, PauseKind

blueprint = Blueprint("relays", __name__, url_prefix="/relays")

MINUTES = (15, 60, 240, 1440, None)
"""The lengths that the page offers; None is a pause without an end."""


@blueprint.get("")
@requires(Scope.READ)
def get_relays() -> Response:
    """Show relays, providers and pauses."""
    with services().sessions.begin() as session:
        relays, providers, pauses = list_relays(session), list_providers(session), list_pauses(session)
    return page(
        "relays.html",
        relays=relays,
        providers=providers,
        pauses=pauses,
        targets={PauseKind.CHANNEL: CHANNELS, PauseKind.TEMPLATE: TEMPLATES_AND_WORK},
    )


@blueprint.get("/pauses/<kind>/<path:name>")
@requires(Scope.ACT)
def get_pause(kind: str, name: str) -> Response:
    """Count the messages that would wait and the codes that would expire, and show the form that pauses."""
    target = _target(kind, name)
    spans = [timedelta(minutes=minutes) if minutes else None for minutes in MINUTES]
    with services().count_permits.hold(), services().sessions.begin() as session:
        impacts = count_impact(session, target, spans)
    return page("pause.html", target=target, choices=list(zip(MINUTES, spans, impacts, strict=True)))


@blueprint.post("/pauses/<kind>/<path:name>")
@requires(Scope.ACT)
def post_pause(kind: str, name: str) -> Response:
    """Pause a provider, a channel or a template."""
    form = read_form(PauseForm())
    span = timedelta(minutes=form["minutes"]) if form["minutes"] else None
    with services().sessions.begin() as session:
        pause(session, _target(kind, name), span, current_operator().audit(form["reason"]))
    return redirect_to(url_for(".get_relays"), notice="paused")


@blueprint.post("/resume/<kind>/<path:name>")
@requires(Scope.ACT)
def post_resume(kind: str, name: str) -> Response:
    """End a pause."""
    reason = read_form_reason()
    with services().sessions.begin() as session:
        resume(session, _target(kind, name), current_operator().audit(reason))
    return redirect_to(url_for(".get_relays"), notice="resumed")


@blueprint.post("/probe/<path:name>")
@requires(Scope.ACT)
def post_probe(name: str) -> Response:
    """Make a provider's open circuit breaker half-open now."""
    reason = read_form_reason()
    with services().sessions.begin() as session:
        probe(session, name, current_operator().audit(reason))
    return redirect_to(url_for(".get_relays"), notice="probed")


def _target(kind: str, name: str) -> PauseTarget:
    try:
        return PauseTarget(PauseKind(kind), name)
    except ValueError:
        raise UnknownTargetError(kind="provider, channel or template") from None
