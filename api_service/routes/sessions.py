"""/v1/sessions: sign in, refresh, list sessions, sign out."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify, request

from api_service.errors import Code, NotAMemberError, OrganizationNotReadyError
from api_service.http.annotations import RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.authentication import (
    authenticated,
    authenticated_or_limited,
    current_client,
    session_context,
    session_document,
)
from api_service.http.rate_limiting import by_addresses, by_network, refund, spend
from api_service.rate_limits import Limit
from api_service.schemas.requests import RefreshSchema, SignInSchema
from api_service.schemas.responses import KeySetSchema, ListedSessionsSchema, SessionSchema
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.use_cases.sessions import end_session, listed_sessions, refresh_session, sign_in
from shared.web.problems import CommonCode
from shared.web.requests import read_body

KEY_SET_CACHE = "public, max-age=300"
"""Far shorter than the time between adding a key to SECRET_KEYS and signing with it."""

blueprint = Blueprint("sessions", __name__)


@blueprint.post("/v1/sessions")
@OperationDoc(
    Tag.SESSIONS,
    {HTTPStatus.CREATED: ResponseDoc("The new session.", SessionSchema, headers=RATE_LIMIT_HEADERS)},
    body=RequestDoc(lambda: SignInSchema(None)),
    problems=(
        Code.INVALID_CREDENTIALS,
        Code.ACCOUNT_NOT_ACTIVATED,
        Code.NOT_A_MEMBER,
        Code.TOO_MANY_REQUESTS,
        Code.ORGANIZATION_NOT_READY,
        Code.OVERLOADED,
    ),
)
def post_session() -> Response:
    """Sign in."""
    parts, network = services(), by_network(Limit.FAILED_LOGINS_PER_NETWORK)
    request.get_data()  # received before it takes a place, or a few slow clients would hold all places
    # Admitted before the body is parsed, because rejecting must cost little in a flood.
    with parts.sign_in_watch.observe(network.name), parts.sign_in_hashes.admit():
        body = read_body(SignInSchema(parts.phone_region, has_organizations=parts.organizations is not None))
        tried = [network, *by_addresses(Limit.FAILED_LOGINS_PER_ADDRESS, body["address"].canonical)]
        # Counted as failures before the password is compared, so that concurrent tries stay within the limit.
        spend(*tried)
        try:
            started = sign_in(
                parts.sessions,
                body["address"],
                body["password"],
                session_context(),
                parts.sign_in_hashes,
                organizations=parts.organizations,
                chosen_organization_id=body.get("organization"),
            )
        except NotAMemberError:  # only after the right password
            refund(*tried)
            raise
    # Only this request's hits: clearing all would show strangers that the owner has signed in.
    refund(*tried)
    if started is None or started.organization:
        parts.notifier.wake()  # a repair or a founding may be due
    if started is None:
        raise OrganizationNotReadyError
    response = jsonify(session_document(started))
    response.status_code = HTTPStatus.CREATED
    return response


@blueprint.post("/v1/sessions/refresh")
@OperationDoc(
    Tag.SESSIONS,
    {HTTPStatus.OK: ResponseDoc("The next tokens of the session.", SessionSchema)},
    body=RequestDoc(RefreshSchema),
    problems=(Code.INVALID_REFRESH_TOKEN, Code.NOT_A_MEMBER, Code.ORGANIZATION_NOT_READY),
)
def post_refresh() -> Response:
    """Exchange a refresh token for new tokens."""
    parts = services()
    body = read_body(RefreshSchema(has_organizations=parts.organizations is not None))
    extended = refresh_session(
        parts.sessions,
        body["refresh_token"],
        parts.session_policy,
        current_client(),
        organizations=parts.organizations,
        chosen_organization_id=body.get("organization"),
    )
    if "organization" in body:
        parts.notifier.wake()  # a repair or a founding may be due
    if extended is None:
        raise OrganizationNotReadyError
    return jsonify(session_document(extended))


@blueprint.get("/v1/sessions")
@OperationDoc(Tag.SESSIONS, {HTTPStatus.OK: ResponseDoc("All of the user's sessions.", ListedSessionsSchema)})
@authenticated
def get_sessions(current_user: CurrentUser) -> Response:
    """List the user's sessions."""
    with services().sessions.begin() as session:
        listed = listed_sessions(session, current_user.user_id)
    sessions = [one | {"is_current": one["id"] == current_user.session_id} for one in listed]
    return ListedSessionsSchema.response({"sessions": sessions})


@blueprint.delete("/v1/sessions/current")
@OperationDoc(Tag.SESSIONS, {HTTPStatus.NO_CONTENT: ResponseDoc("The session was ended.")})
@authenticated_or_limited
def delete_current_session(current_user: CurrentUser) -> Response:
    """Sign out."""
    return _ended(current_user.session_id, current_user.user_id)


@blueprint.delete("/v1/sessions/<uuid:session_id>")
@OperationDoc(
    Tag.SESSIONS, {HTTPStatus.NO_CONTENT: ResponseDoc("The session was ended.")}, problems=(CommonCode.NOT_FOUND,)
)
@authenticated
def delete_session(current_user: CurrentUser, session_id: UUID) -> Response:
    """End another session."""
    return _ended(session_id, current_user.user_id)


@blueprint.get("/.well-known/jwks.json")
@OperationDoc(Tag.SESSIONS, {HTTPStatus.OK: ResponseDoc("The keys, by `kid`.", KeySetSchema)}, needs_database=False)
def get_key_set() -> Response:
    """Return the public keys that verify access tokens."""
    response = jsonify(services().access_tokens.key_set())
    response.headers["Cache-Control"] = KEY_SET_CACHE
    return response


def _ended(session_id: UUID, user_id: UUID) -> Response:
    with services().sessions.begin() as session:
        end_session(session, session_id, user_id)
    return Response(status=HTTPStatus.NO_CONTENT)
