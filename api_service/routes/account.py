"""/v1/me/…: what a signed-in user changes, takes along, or has taken away."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify
from sqlalchemy.orm import Session

from api_service import passwords
from api_service.access_tokens import SignedIn
from api_service.account_schemas import ChangePasswordSchema, CodeSchema, EraseSchema, NewEmailSchema, NewPhoneSchema
from api_service.answer_schemas import CodeSentSchema, ExportSchema, StatusSchema
from api_service.answers import code_answer, export_document
from api_service.authentication import for_users
from api_service.describing import COUNTED, Answer, Body, Description, Tag, described
from api_service.errors import Code
from api_service.idempotency import idempotent, keep, take_key
from api_service.limiting import by_user, counted_if_done, from_network, give_back, spend, to_addresses
from api_service.rate_limits import Limit, Subject
from api_service.schemas import StrictSchema
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.change_address import AddressCode, ask_for_change, change_address, token_of_change
from api_service.use_cases.personal_data import erase, gather
from api_service.use_cases.proof import Proof, locked_prover, prove_by_fresh_session, prove_by_password
from api_service.use_cases.reset_password import refuse_own_address, set_password
from shared.vocabulary import Channel
from shared.web.bodies import read_body

blueprint = Blueprint("account", __name__, url_prefix="/v1/me")

CODE_SENT = {HTTPStatus.ACCEPTED: Answer("A code goes to the new address.", CodeSentSchema, headers=COUNTED)}
ADDRESS_CHANGED = {HTTPStatus.NO_CONTENT: Answer("It is the user's; the addresses so far are told.")}
OF_PASSWORDS = (Code.WRONG_PASSWORD, Code.TOO_MANY_REQUESTS)
OF_CODES = (Code.INVALID_OR_EXPIRED, Code.ADDRESS_TAKEN, Code.TOO_MANY_ATTEMPTS, Code.TOO_MANY_REQUESTS)


@blueprint.post("/password")
@described(
    Description(
        Tag.USER,
        {HTTPStatus.NO_CONTENT: Answer("It is the password; the user's addresses are told.", headers=COUNTED)},
        body=Body(ChangePasswordSchema),
        refusals=OF_PASSWORDS,
    )
)
@for_users
@idempotent
def post_password(holder: SignedIn) -> Response:
    """Set another password; the user stays signed in here, and nowhere else."""
    body = read_body(ChangePasswordSchema())
    proof = _proven(holder, body["old_password"])
    password_hash = passwords.hashed(body["new_password"])

    def changed(session: Session) -> Response:
        take_key(session)
        user = locked_prover(session, proof)
        refuse_own_address(user, body["new_password"])
        set_password(session, user, password_hash, kept_session=holder.session_id)
        return keep(session, _done())

    with counted_if_done(_a_change(holder)):
        answer = in_transaction(services().sessions, changed)
    services().notifier.wake()
    return answer


@blueprint.post("/email")
@described(Description(Tag.USER, CODE_SENT, body=Body(NewEmailSchema), refusals=OF_PASSWORDS))
@for_users
@idempotent
def post_email(holder: SignedIn) -> Response:
    """Send a code to another e-mail address."""
    return _code_sent(holder, NewEmailSchema())


@blueprint.post("/phone")
@described(Description(Tag.USER, CODE_SENT, body=Body(NewPhoneSchema), refusals=OF_PASSWORDS))
@for_users
@idempotent
def post_phone(holder: SignedIn) -> Response:
    """Send a code to another number."""
    return _code_sent(holder, NewPhoneSchema())


@blueprint.post("/email/confirm")
@described(Description(Tag.USER, ADDRESS_CHANGED, body=Body(CodeSchema), refusals=OF_CODES))
@for_users
@idempotent
def post_email_confirmation(holder: SignedIn) -> Response:
    """Make the e-mail address that the code went to the user's."""
    return _address_changed(holder, Channel.EMAIL)


@blueprint.post("/phone/confirm")
@described(Description(Tag.USER, ADDRESS_CHANGED, body=Body(CodeSchema), refusals=OF_CODES))
@for_users
@idempotent
def post_phone_confirmation(holder: SignedIn) -> Response:
    """Make the number that the code went to the user's."""
    return _address_changed(holder, Channel.SMS)


@blueprint.get("/export")
@described(Description(Tag.USER, {HTTPStatus.OK: Answer("All of it.", ExportSchema, headers=("Content-Disposition",))}))
@for_users
def get_export(holder: SignedIn) -> Response:
    """Give the user all that is held of them."""
    with services().sessions.begin() as session:
        held = gather(session, holder.user_id)
    answer = jsonify(export_document(held, holder.session_id))
    answer.headers["Content-Disposition"] = 'attachment; filename="personal-data.json"'
    return answer


@blueprint.delete("")
@described(
    Description(
        Tag.USER,
        {HTTPStatus.ACCEPTED: Answer("All that was held of the user is gone.", StatusSchema, headers=COUNTED)},
        body=Body(EraseSchema, is_required=False),
        refusals=(*OF_PASSWORDS, Code.FRESH_SIGN_IN_REQUIRED),
    )
)
@for_users
def delete_me(holder: SignedIn) -> Response:
    """Take the user away for good."""
    proof = _erasing_proof(holder)
    in_transaction(services().sessions, lambda session: erase(session, proof, services().keys))
    answer = jsonify(status="erased")
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


def _proven(holder: SignedIn, password: str) -> Proof:
    # Counted before the password is looked at, as signing in is: an access token must not help to guess it. And
    # apart from that: who fails to sign in as somebody must not keep them from their own account.
    tries = by_user(Limit.WRONG_PASSWORDS_PER_USER, holder.user_id)
    spend(tries)
    proof = prove_by_password(services().sessions, holder, password)
    give_back(tries)
    return proof


def _erasing_proof(holder: SignedIn) -> Proof:
    body = read_body(EraseSchema(), may_be_empty=True)
    if "password" in body:
        return _proven(holder, body["password"])
    return prove_by_fresh_session(services().sessions, holder)


def _code_sent(holder: SignedIn, schema: StrictSchema) -> Response:
    body = read_body(schema)
    # As many as codes for resets: whoever has an account must not flood other people's addresses. Their own password
    # comes before the address's count: without it nothing goes there, and its owner's resets would be used up unseen.
    spend(from_network(Limit.RESETS_PER_NETWORK))
    proof = _proven(holder, body["password"])
    spend(*to_addresses(Limit.RESETS_PER_ADDRESS, body["address"].canonical))

    def asked(session: Session) -> Response:
        take_key(session)
        keys, terms = services().keys, services().account_terms
        token = ask_for_change(session, proof, body["address"], keys=keys, terms=terms)
        return keep(session, code_answer(body["address"], token.expires_at))

    answer = in_transaction(services().sessions, asked)
    services().notifier.wake()
    return answer


def _address_changed(holder: SignedIn, channel: Channel) -> Response:
    offered = AddressCode(holder.user_id, channel, read_body(CodeSchema())["code"])

    def changed(session: Session, token_id: UUID) -> Response:
        take_key(session)
        change_address(session, holder, token_id)
        return keep(session, _done())

    # Counted before the code is tried: a right one that nothing came of would be used up.
    with counted_if_done(_a_change(holder)):
        token_id = token_of_change(services().sessions, services().keys, services().limiter, offered)
        answer = in_transaction(services().sessions, lambda session: changed(session, token_id))
    services().notifier.wake()
    return answer


def _a_change(holder: SignedIn) -> Subject:
    # Each change is told to all addresses, and whoever has an account could have as many SMS sent as they like. Resets
    # by code are not counted: who knows the password must not use up what its owner has left to get the account back.
    return by_user(Limit.CHANGES_PER_USER, holder.user_id)


def _done() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT)
