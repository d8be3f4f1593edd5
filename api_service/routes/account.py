"""/v1/me: what signed-in users see, change, export and erase."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify
from sqlalchemy.orm import Session

from api_service.errors import Code
from api_service.http.annotations import RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.authentication import authenticated, authenticated_or_limited, current_client
from api_service.http.idempotency import acquire_key, idempotent, store_response
from api_service.http.rate_limiting import by_addresses, by_network, by_user, count_unless_refused, refund, spend
from api_service.rate_limits import Limit, Subject
from api_service.schemas.requests import (
    ChangePasswordSchema,
    ChangeUserSchema,
    CodeSchema,
    EraseSchema,
    NewEmailSchema,
    NewPhoneSchema,
    StrictSchema,
)
from api_service.schemas.responses import (
    CodeSentSchema,
    ExportSchema,
    InvitationsSchema,
    StatusSchema,
    UserSchema,
    organizations_member,
)
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.change_address import ask_for_change, change_address, token_of_change
from api_service.use_cases.change_profile import ChangeUserCommand, change_user
from api_service.use_cases.personal_data import collect, erase
from api_service.use_cases.reauthentication import (
    Reauthentication,
    lock_reauthenticated_user,
    reauthenticate_by_fresh_session,
    reauthenticate_by_password,
)
from api_service.use_cases.reset_password import reject_own_address, set_password
from shared.models import User
from shared.vocabulary import Channel
from shared.web.problems import InvalidTokenError
from shared.web.requests import read_body

blueprint = Blueprint("me", __name__, url_prefix="/v1/me")


@blueprint.get("")
@OperationDoc(Tag.USER, {HTTPStatus.OK: ResponseDoc("The user.", UserSchema)})
@authenticated_or_limited
def get_me(current_user: CurrentUser) -> Response:
    """Show the user."""
    with services().sessions.begin() as session:
        user = session.get(User, current_user.user_id)
        if user is None:  # erased since the session was checked
            raise InvalidTokenError
        return _shown(session, user)


@blueprint.patch("")
@OperationDoc(
    Tag.USER, {HTTPStatus.OK: ResponseDoc("The changed user.", UserSchema)}, body=RequestDoc(ChangeUserSchema)
)
@authenticated
def patch_me(current_user: CurrentUser) -> Response:
    """Change the name, the language or own fields. Other fields stay."""
    parts = services()
    command: ChangeUserCommand = read_body(ChangeUserSchema(parts.profiles))

    def changed(session: Session) -> Response:
        return _shown(session, change_user(session, current_user, command, parts.profiles))

    return in_transaction(parts.sessions, changed)


CODE_SENT = {
    HTTPStatus.ACCEPTED: ResponseDoc("A code was sent to the new address.", CodeSentSchema, headers=RATE_LIMIT_HEADERS)
}
ADDRESS_CHANGED = {HTTPStatus.NO_CONTENT: ResponseDoc("The address was changed; all previous addresses are notified.")}
OF_PASSWORDS = (Code.WRONG_PASSWORD, Code.TOO_MANY_REQUESTS, Code.OVERLOADED)
OF_CODES = (Code.INVALID_OR_EXPIRED, Code.ADDRESS_TAKEN, Code.TOO_MANY_ATTEMPTS, Code.TOO_MANY_REQUESTS)


@blueprint.post("/password")
@OperationDoc(
    Tag.USER,
    {
        HTTPStatus.NO_CONTENT: ResponseDoc(
            "The password was changed; all addresses are notified.", headers=RATE_LIMIT_HEADERS
        )
    },
    body=RequestDoc(ChangePasswordSchema),
    problems=OF_PASSWORDS,
)
@authenticated
@idempotent
def post_password(current_user: CurrentUser) -> Response:
    """Change the password. The current session continues, all others end."""
    body = read_body(ChangePasswordSchema())
    hashes = services().other_hashes
    with hashes.admit():
        reauthentication = _reauthenticate(current_user, body["old_password"])
        password_hash = hashes.hash(body["new_password"])

    def changed(session: Session) -> Response:
        acquire_key(session)
        user = lock_reauthenticated_user(session, reauthentication)
        reject_own_address(user, body["new_password"])
        set_password(session, user, password_hash, except_session=current_user.session_id)
        return store_response(session, _no_content())

    with count_unless_refused(_a_change(current_user)):
        return services().run_and_wake(changed)


@blueprint.post("/email")
@OperationDoc(Tag.USER, CODE_SENT, body=RequestDoc(NewEmailSchema), problems=OF_PASSWORDS)
@authenticated
@idempotent
def post_email(current_user: CurrentUser) -> Response:
    """Send a code to a new e-mail address."""
    return _code_sent(current_user, NewEmailSchema())


@blueprint.post("/phone")
@OperationDoc(Tag.USER, CODE_SENT, body=RequestDoc(lambda: NewPhoneSchema(None)), problems=OF_PASSWORDS)
@authenticated
@idempotent
def post_phone(current_user: CurrentUser) -> Response:
    """Send a code to a new phone number."""
    return _code_sent(current_user, NewPhoneSchema(services().phone_region))


@blueprint.post("/email/confirm")
@OperationDoc(Tag.USER, ADDRESS_CHANGED, body=RequestDoc(CodeSchema), problems=OF_CODES)
@authenticated
@idempotent
def post_email_confirmation(current_user: CurrentUser) -> Response:
    """Change the e-mail address with the code sent to it."""
    return _address_changed(current_user, Channel.EMAIL)


@blueprint.post("/phone/confirm")
@OperationDoc(Tag.USER, ADDRESS_CHANGED, body=RequestDoc(CodeSchema), problems=OF_CODES)
@authenticated
@idempotent
def post_phone_confirmation(current_user: CurrentUser) -> Response:
    """Change the phone number with the code sent to it."""
    return _address_changed(current_user, Channel.SMS)


@blueprint.get("/export")
@OperationDoc(
    Tag.USER, {HTTPStatus.OK: ResponseDoc("All personal data.", ExportSchema, headers=("Content-Disposition",))}
)
@authenticated
def get_export(current_user: CurrentUser) -> Response:
    """Return all personal data of the user."""
    with services().sessions.begin() as session:
        data = collect(session, current_user.user_id)
        organizations = _organizations_of(session, current_user.user_id)
        invitations = _invitations_about(session, data.user)
    sessions = [one | {"is_current": one["id"] == current_user.session_id} for one in data.sessions]
    document = ExportSchema.instance().dump(vars(data) | {"sessions": sessions})
    document["user"] |= organizations
    document |= invitations
    response = jsonify(document)
    response.headers["Content-Disposition"] = 'attachment; filename="personal-data.json"'
    return response


@blueprint.delete("")
@OperationDoc(
    Tag.USER,
    {HTTPStatus.ACCEPTED: ResponseDoc("The user was erased.", StatusSchema, headers=RATE_LIMIT_HEADERS)},
    body=RequestDoc(EraseSchema, is_required=False),
    problems=(*OF_PASSWORDS, Code.FRESH_SIGN_IN_REQUIRED, Code.LAST_OWNER),
)
@authenticated
def delete_me(current_user: CurrentUser) -> Response:
    """Erase the user."""
    body = read_body(EraseSchema(), may_be_empty=True)
    reauthentication, parts = reauthenticate(current_user, body.get("password")), services()
    in_transaction(parts.sessions, lambda session: erase(session, reauthentication, parts.keys, parts.organizations))
    return StatusSchema.response({"status": "erased"}, HTTPStatus.ACCEPTED)


def _shown(session: Session, user: User) -> Response:
    return jsonify(UserSchema.instance().dump(user) | _organizations_of(session, user.id))


def _organizations_of(session: Session, user_id: UUID) -> dict[str, Any]:
    organizations = services().organizations
    return organizations_member(organizations.of_user(session, user_id)) if organizations else {}


def reauthenticate(current_user: CurrentUser, password: str | None) -> Reauthentication:
    """Check the password, or without one, that the session is fresh."""
    if password is None:
        return reauthenticate_by_fresh_session(services().sessions, current_user)
    with services().other_hashes.admit():
        return _reauthenticate(current_user, password)


def _invitations_about(session: Session, user: User) -> dict[str, Any]:
    organizations = services().organizations
    if organizations is None:
        return {}
    found = {"invitations": organizations.invitations_about(session, user)}
    return dict(InvitationsSchema.instance().dump(found))


def _reauthenticate(current_user: CurrentUser, password: str) -> Reauthentication:
    """Check the password, for a request that is admitted to ``other_hashes``."""
    # Counted before the password is compared, as for signing in, because an access token must not help to guess it. A
    # separate limit, because failed sign-ins by strangers must not block the owner.
    tries = by_user(Limit.WRONG_PASSWORDS_PER_USER, current_user.user_id)
    spend(tries)
    parts = services()
    reauthentication = reauthenticate_by_password(
        parts.sessions, current_user, password, parts.other_hashes, current_client()
    )
    refund(tries)
    return reauthentication


def _code_sent(current_user: CurrentUser, schema: StrictSchema) -> Response:
    body = read_body(schema)
    # The limits of resets apply, so that an account cannot flood other people's addresses. The password is checked
    # before the address is counted: otherwise a stranger could use up the owner's resets unnoticed.
    spend(by_network(Limit.RESETS_PER_NETWORK))
    with services().other_hashes.admit():
        reauthentication = _reauthenticate(current_user, body["password"])
    spend(*by_addresses(Limit.RESETS_PER_ADDRESS, body["address"].canonical))

    def work(session: Session) -> Response:
        acquire_key(session)
        keys, policy = services().keys, services().change_policy
        token = ask_for_change(session, reauthentication, body["address"], keys=keys, policy=policy)
        sent = vars(body["address"]) | {"destination": body["address"].destination, "expires_at": token.expires_at}
        return store_response(session, CodeSentSchema.response(sent, HTTPStatus.ACCEPTED))

    return services().run_and_wake(work)


def _address_changed(current_user: CurrentUser, channel: Channel) -> Response:
    code: str = read_body(CodeSchema())["code"]

    def changed(session: Session, token_id: UUID) -> Response:
        acquire_key(session)
        change_address(session, current_user, token_id)
        return store_response(session, _no_content())

    # Counted before the code is tried, because a right code would be used up by a request that is then rejected.
    with count_unless_refused(_a_change(current_user)):
        parts = services()
        token_id = token_of_change(
            parts.sessions, parts.keys, parts.limiter, user_id=current_user.user_id, channel=channel, code=code
        )
        return parts.run_and_wake(lambda session: changed(session, token_id))


def _a_change(current_user: CurrentUser) -> Subject:
    # Each change notifies all addresses, so an account could send any number of SMS. Resets by code are not counted: a
    # thief of the password must not use up the resets of the owner.
    return by_user(Limit.CHANGES_PER_USER, current_user.user_id)


def _no_content() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT)
