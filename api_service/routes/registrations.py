"""/v1/registrations: register, look a registration up, and resend its message."""

from collections.abc import Callable
from functools import cache, partial
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify, request, url_for
from sqlalchemy.orm import Session

from api_service.errors import Code
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import (
    RATE_LIMIT_HEADERS,
    WAIT_HEADERS,
    OperationDoc,
    RequestDoc,
    ResponseDoc,
    Tag,
)
from api_service.http.authentication import session_context, session_document
from api_service.http.idempotency import acquire_key, idempotent, store_response
from api_service.http.rate_limiting import by_addresses, by_network, by_service, spend
from api_service.metrics import REGISTRATIONS
from api_service.outbox_signals.wait_for_settled import preferred_seconds
from api_service.rate_limits import Limit, Subject
from api_service.schemas.requests import RegisterSchema, ResendSchema
from api_service.schemas.responses import RegisteredSchema, RegistrationSchema
from api_service.services import services
from api_service.use_cases.register import (
    RegisterCommand,
    Registration,
    canonical_addresses,
    is_settled,
    look_up,
    register,
)
from api_service.use_cases.resend import resend
from api_service.use_cases.sessions import StartedSession, start_limited_session
from shared.db.engine import DATABASE_FAILURES, is_database_unavailable
from shared.profiles import ProfileSchema
from shared.vocabulary import Locale, Status
from shared.web.problems import CommonCode
from shared.web.requests import read_body

Render = Callable[[Registration], Response]

blueprint = Blueprint("registrations", __name__, url_prefix="/v1/registrations")


@cache  # marshmallow copies all fields whenever a schema is created
def schema_for(
    locale: Locale, phone_region: str | None, profiles: ProfileSchema | None, *, has_organizations: bool
) -> RegisterSchema:
    """Return the schema of a registration."""
    return RegisterSchema(locale, phone_region, profiles, has_organizations=has_organizations)


@blueprint.post("")
@OperationDoc(
    Tag.REGISTRATIONS,
    {
        HTTPStatus.ACCEPTED: ResponseDoc(
            "A message will be sent. With limited access before the activation, the client also gets a session.",
            RegisteredSchema,
            headers=(*RATE_LIMIT_HEADERS, *WAIT_HEADERS, "Location"),
        )
    },
    body=RequestDoc(lambda: RegisterSchema(Locale.EN, None)),
    problems=(Code.TOO_MANY_REQUESTS, Code.OVERLOADED),
    parameters=("Prefer",),
)
@idempotent
def post_registration() -> Response:
    """Register a user. The response precedes the message, unless the client prefers to wait."""
    parts = services()
    has_organizations = parts.organizations is not None
    command: RegisterCommand = read_body(
        schema_for(preferred_locale(), parts.phone_region, parts.profiles, has_organizations=has_organizations)
    )
    with parts.other_hashes.admit():
        spend(
            by_network(Limit.REGISTRATIONS_PER_NETWORK),
            *by_addresses(Limit.REGISTRATIONS_PER_ADDRESS, *canonical_addresses(command)),
            *_limits_of_foundings(command),
        )
        password_hash = parts.other_hashes.hash(command.password)

    def registered(session: Session) -> tuple[Registration, Response, Render]:
        acquire_key(session)
        registration = register(
            session,
            command,
            password_hash=password_hash,
            policy=parts.policy,
            limiter=parts.limiter,
            organizations=parts.organizations,
        )
        admits_limited = parts.session_policy.admits_limited
        started = (
            start_limited_session(session, registration.id, command.profile, session_context())
            if admits_limited
            else None
        )
        render = partial(_accepted, started=started)
        return registration, store_response(session, render(registration), registration.id), render

    registration, response, render = parts.run_and_wake(registered)
    REGISTRATIONS.labels(command.channel).inc()
    return _respond(registration, response, render)


@blueprint.get("/<uuid:registration_id>")
@OperationDoc(
    Tag.REGISTRATIONS,
    {HTTPStatus.OK: ResponseDoc("The registration.", RegistrationSchema, headers=WAIT_HEADERS)},
    problems=(CommonCode.NOT_FOUND,),
    parameters=("Prefer",),
)
def get_registration(registration_id: UUID) -> Response:
    """Show a registration."""
    registration = _looked_up(registration_id)
    return _respond(registration, RegistrationSchema.response(registration), RegistrationSchema.response)


@blueprint.post("/<uuid:registration_id>/resend")
@OperationDoc(
    Tag.REGISTRATIONS,
    {HTTPStatus.ACCEPTED: ResponseDoc("Another message will be sent.", RegistrationSchema, headers=WAIT_HEADERS)},
    body=RequestDoc(ResendSchema, is_required=False),
    problems=(
        CommonCode.NOT_FOUND,
        Code.ALREADY_ACTIVE,
        Code.ORGANIZATION_FAILED,
        Code.RESEND_TOO_SOON,
        Code.TOO_MANY_REQUESTS,
    ),
    parameters=("Prefer",),
)
@idempotent
def post_resend(registration_id: UUID) -> Response:
    """Send the message again."""
    body = read_body(ResendSchema(), may_be_empty=True)
    render = partial(RegistrationSchema.response, status=HTTPStatus.ACCEPTED)

    def resent(session: Session) -> tuple[Registration, Response]:
        acquire_key(session)
        parts = services()
        resend(
            session,
            registration_id,
            body.get("channel"),
            policy=parts.policy,
            limiter=parts.limiter,
            organizations=parts.organizations,
        )
        registration = _look_up_in(session, registration_id)
        return registration, store_response(session, render(registration), registration_id)

    registration, response = services().run_and_wake(resent)
    return _respond(registration, response, render)


def _limits_of_foundings(command: RegisterCommand) -> list[Subject]:
    organizations = services().organizations
    if organizations is None or command.organization is None:
        return []
    creates_database = [by_service(Limit.ORGANIZATIONS_IN_TOTAL)] if organizations.precede_activation else []
    return [by_network(Limit.ORGANIZATIONS_PER_NETWORK), *creates_database]


def _accepted(registration: Registration, started: StartedSession | None) -> Response:
    signed_in = session_document(started) if started else {}
    response = jsonify(RegistrationSchema.instance().dump(registration) | signed_in)
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = url_for("registrations.get_registration", registration_id=registration.id)
    return response


def _respond(registration: Registration, response: Response, render: Render) -> Response:
    """Return the response, or a later one if the client prefers to wait for the message to settle."""
    seconds = preferred_seconds(request.headers.get("Prefer"))
    settled = _after_waiting(registration, seconds) if seconds else None
    if settled is None:
        return response
    later = render(settled)
    later.headers["Preference-Applied"] = f"wait={seconds}"
    return later


def _after_waiting(registration: Registration, seconds: int) -> Registration | None:
    """Return the registration once its message has settled or the time is over.

    Return None if too many requests wait or the database is unavailable: the registration is committed, so the response
    from before the wait is still correct. Between polls, no database connection is held.
    """
    if registration.delivery.status is not Status.PENDING:
        return registration
    try:
        has_waited = services().settled_waiters.wait_until_settled(lambda: _is_settled(registration.id), seconds)
        return _looked_up(registration.id) if has_waited else None
    except DATABASE_FAILURES as error:
        if not is_database_unavailable(error):
            raise
        return None


def _looked_up(registration_id: UUID) -> Registration:
    with services().sessions.begin() as session:
        return _look_up_in(session, registration_id)


def _look_up_in(session: Session, registration_id: UUID) -> Registration:
    parts = services()
    return look_up(
        session,
        registration_id,
        resend_cooldown=parts.policy.resend_cooldown,
        limiter=parts.limiter,
        organizations=parts.organizations,
    )


def _is_settled(registration_id: UUID) -> bool:
    with services().sessions.begin() as session:
        return is_settled(session, registration_id)
