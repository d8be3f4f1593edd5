"""/v1/registrations: registering, looking at how it goes, and asking for the message again."""

from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from api_service import passwords
from api_service.answer_schemas import RegistrationSchema
from api_service.answers import registration_answer
from api_service.describing import COUNTED, WAITED, Answer, Body, Description, Tag, described
from api_service.errors import Code
from api_service.idempotency import idempotent, keep, take_key
from api_service.languages import preferred_locale
from api_service.limiting import from_network, spend, to_addresses
from api_service.metrics import REGISTRATIONS
from api_service.rate_limits import Limit
from api_service.schemas import RegisterSchema, ResendSchema
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.look_up import Registration, just_added, look_up, unsettled_message
from api_service.use_cases.register import RegisterCommand, Registered, canonical_addresses, register
from api_service.use_cases.resend import resend
from api_service.waiting import preferred_seconds
from shared.engine import DATABASE_FAILURES, is_database_away
from shared.vocabulary import Locale, Status
from shared.web.bodies import read_body
from shared.web.refusals import CommonCode

Shape = Callable[[Registration], Response]

# Marshmallow copies all fields whenever a schema is made.
SCHEMAS = {locale: RegisterSchema(locale) for locale in Locale}

blueprint = Blueprint("registrations", __name__, url_prefix="/v1/registrations")


@blueprint.post("")
@described(
    Description(
        Tag.REGISTRATIONS,
        {
            HTTPStatus.ACCEPTED: Answer(
                "A message is on its way.", RegistrationSchema, headers=(*COUNTED, *WAITED, "Location")
            )
        },
        body=Body(lambda: RegisterSchema(Locale.EN)),
        refusals=(Code.TOO_MANY_REQUESTS,),
        parameters=("Prefer",),
    )
)
@idempotent
def post_registration() -> Response:
    """Register someone, and answer before any message goes."""
    command: RegisterCommand = read_body(SCHEMAS[preferred_locale()])
    spend(
        from_network(Limit.REGISTRATIONS_PER_NETWORK),
        *to_addresses(Limit.REGISTRATIONS_PER_ADDRESS, *canonical_addresses(command)),
    )
    password_hash = passwords.hashed(command.password)
    parts = services()

    def registered(session: Session) -> tuple[Registration, Response]:
        take_key(session)
        added = register(session, command, password_hash=password_hash, terms=parts.terms)
        registration = _just_added(session, added)
        return registration, keep(session, _accepted(registration), registration.id)

    registration, answer = in_transaction(parts.sessions, registered)
    parts.notifier.wake()
    REGISTRATIONS.labels(command.channel).inc()
    return _answered(registration, answer, _accepted)


@blueprint.get("/<uuid:registration_id>")
@described(
    Description(
        Tag.REGISTRATIONS,
        {HTTPStatus.OK: Answer("How it stands.", RegistrationSchema, headers=WAITED)},
        refusals=(CommonCode.NOT_FOUND,),
        parameters=("Prefer",),
    )
)
def get_registration(registration_id: UUID) -> Response:
    """Show how a registration stands."""
    registration, shape = _looked_up(registration_id), _shown_as(HTTPStatus.OK)
    return _answered(registration, shape(registration), shape)


@blueprint.post("/<uuid:registration_id>/resend")
@described(
    Description(
        Tag.REGISTRATIONS,
        {HTTPStatus.ACCEPTED: Answer("Another message is on its way.", RegistrationSchema, headers=WAITED)},
        body=Body(ResendSchema, is_required=False),
        refusals=(
            CommonCode.NOT_FOUND,
            Code.ALREADY_ACTIVE,
            Code.ORGANIZATION_FAILED,
            Code.RESEND_TOO_SOON,
            Code.TOO_MANY_REQUESTS,
        ),
        parameters=("Prefer",),
    )
)
@idempotent
def post_resend(registration_id: UUID) -> Response:
    """Send the message again."""
    body = read_body(ResendSchema(), may_be_empty=True)
    shape = _shown_as(HTTPStatus.ACCEPTED)

    def resent(session: Session) -> tuple[Registration, Response]:
        take_key(session)
        resend(session, registration_id, body.get("channel"), terms=services().terms, limiter=services().limiter)
        registration = _shown(session, registration_id)
        return registration, keep(session, shape(registration), registration_id)

    registration, answer = in_transaction(services().sessions, resent)
    services().notifier.wake()
    return _answered(registration, answer, shape)


def _accepted(registration: Registration) -> Response:
    answer = registration_answer(registration, HTTPStatus.ACCEPTED)
    answer.headers["Location"] = url_for("registrations.get_registration", registration_id=registration.id)
    return answer


def _shown_as(status: HTTPStatus) -> Shape:
    return lambda registration: registration_answer(registration, status)


def _answered(registration: Registration, answer: Response, shape: Shape) -> Response:
    """Give the answer, or a later one if the client would rather wait for the message to settle."""
    seconds = preferred_seconds(request.headers.get("Prefer"))
    waited_for = _after_waiting(registration, seconds) if seconds else None
    if waited_for is None:
        return answer
    later = shape(waited_for)
    later.headers["Preference-Applied"] = f"wait={seconds}"
    return later


def _after_waiting(registration: Registration, seconds: int) -> Registration | None:
    """Return the registration as it stands once its message has settled or the time is up; None without room to wait.

    No connection is held between looks. What was written is committed: should the database go away
    now, there is nothing later to tell of, and the answer is the registration as it was.
    """
    if registration.delivery.status is not Status.PENDING:
        return registration
    services().settled.start()
    try:
        has_waited = services().waiting_room.wait_until_settled(lambda: _unsettled(registration.id), seconds)
        return _looked_up(registration.id) if has_waited else None
    except DATABASE_FAILURES as error:
        if not is_database_away(error):
            raise
        return None


def _looked_up(registration_id: UUID) -> Registration:
    with services().sessions.begin() as session:
        return _shown(session, registration_id)


def _shown(session: Session, registration_id: UUID) -> Registration:
    parts = services()
    return look_up(session, registration_id, resend_cooldown=parts.terms.resend_cooldown, limiter=parts.limiter)


def _just_added(session: Session, registered: Registered) -> Registration:
    parts = services()
    return just_added(session, registered, resend_cooldown=parts.terms.resend_cooldown, limiter=parts.limiter)


def _unsettled(registration_id: UUID) -> UUID | None:
    with services().sessions.begin() as session:
        return unsettled_message(session, registration_id)
