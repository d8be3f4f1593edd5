"""/relays: the providers, their breakers, and the relays that are at work."""

from flask import Blueprint, Response

from operator_console.operator_tokens import Scope
from operator_console.reading import list_providers, list_relays
from operator_console.web.access import needs
from operator_console.web.pages import page
from operator_console.web.services import services

blueprint = Blueprint("relays", __name__, url_prefix="/relays")


@blueprint.get("")
@needs(Scope.READ)
def get_relays() -> Response:
    """Show how they stand."""
    with services().sessions.begin() as session:
        relays, providers = list_relays(session), list_providers(session)
    return page("relays.html", relays=relays, providers=providers)
