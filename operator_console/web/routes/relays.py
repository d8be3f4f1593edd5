"""/relays: the relays, and the providers with their breakers."""

from flask import Blueprint, Response

from operator_console.actions.tokens import Scope
from operator_console.queries.stats import list_providers, list_relays
from operator_console.web.access import requires
from operator_console.web.pages import page
from operator_console.web.services import services

blueprint = Blueprint("relays", __name__, url_prefix="/relays")


@blueprint.get("")
@requires(Scope.READ)
def get_relays() -> Response:
    """Show relays and providers."""
    with services().sessions.begin() as session:
        relays, providers = list_relays(session), list_providers(session)
    return page("relays.html", relays=relays, providers=providers)
