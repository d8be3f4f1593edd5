"""/v1/me/…: what a signed-in user changes, takes along, or has taken away."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from api_service import passwords
from api_service.account_schemas import ChangePasswordSchema, CodeSchema, EraseSchema, NewEmailSchema, NewPhoneSchema
from api_service.answers import code_document, export_document
from api_service.authentication import signed_in
from api_service.bodies import read_body
from api_service.schemas import StrictSchema
from api_service.services import services
from api_service.use_cases.change_address import ask_for_change, change_address
from api_service.use_cases.personal_data import erase, gather
from api_service.use_cases.proof import Proof, locked_user, prove_by_fresh_session, prove_by_password
from api_service.use_cases.reset_password import refuse_own_address, set_password
from shared.vocabulary import Channel

blueprint = Blueprint("account", __name__, url_prefix="/v1/me")


@blueprint.post("/password")
def post_password() -> Response:
    """Set another password; the user stays signed in here, and nowhere else."""
    holder = signed_in()
    body = read_body(ChangePasswordSchema())
    proof = prove_by_password(services().sessions, holder.user_id, body["old_password"])
    password_hash = passwords.hashed(body["new_password"])
    with services().sessions.begin() as session:
        user = locked_user(session, proof)
        refuse_own_address(user, body["new_password"], "#/new_password")
        set_password(session, user, password_hash, kept_session=holder.session_id)
    return _done()


@blueprint.post("/email")
def post_email() -> Response:
    """Send a code to another e-mail address."""
    return _code_sent(NewEmailSchema())


@blueprint.post("/phone")
def post_phone() -> Response:
    """Send a code to another number."""
    return _code_sent(NewPhoneSchema())


@blueprint.post("/email/confirm")
def post_email_confirmation() -> Response:
    """Make the e-mail address that the code went to the user's."""
    return _address_changed(Channel.EMAIL)


@blueprint.post("/phone/confirm")
def post_phone_confirmation() -> Response:
    """Make the number that the code went to the user's."""
    return _address_changed(Channel.SMS)


@blueprint.get("/export")
def get_export() -> Response:
    """Give the user all that is held of them."""
    holder = signed_in()
    with services().sessions.begin() as session:
        held = gather(session, holder.user_id)
    answer = jsonify(export_document(held, holder.session_id))
    answer.headers["Content-Disposition"] = 'attachment; filename="personal-data.json"'
    return answer


@blueprint.delete("")
def delete_me() -> Response:
    """Take the user away for good."""
    proof = _erasing_proof()
    with services().sessions.begin() as session:
        erase(session, proof, services().keys)
    answer = jsonify(status="erased")
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


def _erasing_proof() -> Proof:
    holder = signed_in()
    body = read_body(EraseSchema(), may_be_empty=True)
    if "password" in body:
        return prove_by_password(services().sessions, holder.user_id, body["password"])
    return prove_by_fresh_session(services().sessions, holder.user_id, holder.session_id)


def _code_sent(schema: StrictSchema) -> Response:
    holder = signed_in()
    body = read_body(schema)
    proof = prove_by_password(services().sessions, holder.user_id, body["password"])
    keys, terms = services().keys, services().account_terms
    with services().sessions.begin() as session:
        token = ask_for_change(session, proof, body["address"], keys=keys, terms=terms)
    services().notifier.wake()
    answer = jsonify(code_document(body["address"], token.expires_at))
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


def _address_changed(channel: Channel) -> Response:
    holder = signed_in()
    code = read_body(CodeSchema())["code"]
    change_address(services().sessions, services().keys, holder.user_id, channel, code)
    return _done()


def _done() -> Response:
    services().notifier.wake()
    return Response(status=HTTPStatus.NO_CONTENT)
