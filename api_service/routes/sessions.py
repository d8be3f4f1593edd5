"""/v1/sessions: signing in, going on, looking at where one is signed in, and signing out."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify

from api_service.access_tokens import SignedIn
from api_service.account_schemas import SignInSchema
from api_service.answer_schemas import KeySetSchema, ListedSessionsSchema, SessionSchema
from api_service.answers import session_listing
from api_service.authentication import for_users, opening, session_document
from api_service.describing import COUNTED, Answer, Body, Description, Tag, described
from api_service.errors import Code, OrganizationNotReadyError
from api_service.limiting import from_network, give_back, spend, to_addresses
from api_service.rate_limits import Limit
from api_service.schemas import RefreshSchema
from api_service.services import services
from api_service.use_cases.sessions import end_session, listed_sessions, refresh_session
from api_service.use_cases.sign_in import Credentials, sign_in
from shared.web.bodies import read_body
from shared.web.refusals import CommonCode

KEY_SET_CACHE = "public, max-age=300"
"""A new key is there for as long as it is last in SECRET_KEYS before it signs: far longer."""

blueprint = Blueprint("sessions", __name__)


@blueprint.post("/v1/sessions")
@described(
    Description(
        Tag.SESSIONS,
        {HTTPStatus.CREATED: Answer("A session has begun.", SessionSchema, headers=COUNTED)},
        body=Body(SignInSchema),
        refusals=(
            Code.INVALID_CREDENTIALS,
            Code.ACCOUNT_NOT_ACTIVATED,
            Code.TOO_MANY_REQUESTS,
            Code.ORGANIZATION_NOT_READY,
        ),
    )
)
def post_session() -> Response:
    """Sign in."""
    body = read_body(SignInSchema())
    credentials = Credentials(body["address"], body["password"])
    tried = [
        from_network(Limit.FAILED_LOGINS_PER_NETWORK),
        *to_addresses(Limit.FAILED_LOGINS_PER_ADDRESS, credentials.address.canonical),
    ]
    # Counted before the password is looked at, as if it were wrong: many at once get no more tries than the limit.
    spend(*tried)
    begun = sign_in(services().sessions, credentials, opening())
    # Its own hit and no other: were all forgotten, what strangers have left would tell that somebody has the address.
    give_back(*tried)
    if begun is None:
        services().notifier.wake()
        raise OrganizationNotReadyError
    answer = jsonify(session_document(begun))
    answer.status_code = HTTPStatus.CREATED
    return answer


@blueprint.post("/v1/sessions/refresh")
@described(
    Description(
        Tag.SESSIONS,
        {HTTPStatus.OK: Answer("The session goes on, with these.", SessionSchema)},
        body=Body(RefreshSchema),
        refusals=(Code.INVALID_REFRESH_TOKEN,),
    )
)
def post_refresh() -> Response:
    """Give another access token, and another refresh token for the one that is used up."""
    body = read_body(RefreshSchema())
    return jsonify(
        session_document(refresh_session(services().sessions, body["refresh_token"], services().session_terms))
    )


@blueprint.get("/v1/sessions")
@described(Description(Tag.SESSIONS, {HTTPStatus.OK: Answer("All of the user's sessions.", ListedSessionsSchema)}))
@for_users
def get_sessions(holder: SignedIn) -> Response:
    """List where the user is signed in."""
    with services().sessions.begin() as session:
        listed = listed_sessions(session, holder.user_id)
    return jsonify(sessions=[session_listing(one, is_current=one.id == holder.session_id) for one in listed])


@blueprint.delete("/v1/sessions/current")
@described(Description(Tag.SESSIONS, {HTTPStatus.NO_CONTENT: Answer("The session has ended.")}))
@for_users
def delete_current_session(holder: SignedIn) -> Response:
    """Sign out."""
    return _ended(holder.session_id, holder.user_id)


@blueprint.delete("/v1/sessions/<uuid:session_id>")
@described(
    Description(
        Tag.SESSIONS, {HTTPStatus.NO_CONTENT: Answer("The session has ended.")}, refusals=(CommonCode.NOT_FOUND,)
    )
)
@for_users
def delete_session(holder: SignedIn, session_id: UUID) -> Response:
    """Sign out somewhere else."""
    return _ended(session_id, holder.user_id)


@blueprint.get("/.well-known/jwks.json")
@described(
    Description(Tag.SESSIONS, {HTTPStatus.OK: Answer("The keys, by `kid`.", KeySetSchema)}, needs_database=False)
)
def get_key_set() -> Response:
    """Give the keys by which anyone can verify access tokens."""
    answer = jsonify(services().access_tokens.key_set())
    answer.headers["Cache-Control"] = KEY_SET_CACHE
    return answer


def _ended(session_id: UUID, user_id: UUID) -> Response:
    with services().sessions.begin() as session:
        end_session(session, session_id, user_id)
    return Response(status=HTTPStatus.NO_CONTENT)
