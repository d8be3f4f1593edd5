"""/v1/registrations: registering, looking at how it goes, and asking for the message again."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from api_service import passwords
from api_service.answers import registration_answer
from api_service.bodies import read_body
from api_service.errors import DATABASE_FAILURES
from api_service.languages import preferred_locale
from api_service.metrics import REGISTRATIONS
from api_service.schemas import RegisterSchema, ResendSchema
from api_service.services import services
from api_service.use_cases.look_up import Registration, is_settled, look_up
from api_service.use_cases.register import RegisterCommand, register
from api_service.use_cases.resend import resend
from api_service.waiting import preferred_seconds
from shared.engine import is_database_away
from shared.vocabulary import Status

blueprint = Blueprint("registrations", __name__, url_prefix="/v1/registrations")


@blueprint.post("")
def post_registration() -> Response:
    """Register someone, and answer before any message goes."""
    command: RegisterCommand = read_body(RegisterSchema(preferred_locale()))
    password_hash = passwords.hashed(command.password)
    terms = services().terms
    with services().sessions.begin() as session:
        registration_id = register(session, command, password_hash=password_hash, terms=terms)
        registration = look_up(session, registration_id, resend_cooldown=terms.resend_cooldown)
    services().notifier.wake()
    REGISTRATIONS.labels(command.channel).inc()
    answer = _answer_when_told(registration, HTTPStatus.ACCEPTED)
    answer.headers["Location"] = url_for("registrations.get_registration", registration_id=registration_id)
    return answer


@blueprint.get("/<uuid:registration_id>")
def get_registration(registration_id: UUID) -> Response:
    """Show how a registration stands."""
    return _answer_when_told(_looked_up(registration_id), HTTPStatus.OK)


@blueprint.post("/<uuid:registration_id>/resend")
def post_resend(registration_id: UUID) -> Response:
    """Send the message again."""
    body = read_body(ResendSchema(), may_be_empty=True)
    terms = services().terms
    with services().sessions.begin() as session:
        resend(session, registration_id, body["channel"], terms=terms)
        registration = look_up(session, registration_id, resend_cooldown=terms.resend_cooldown)
    services().notifier.wake()
    return _answer_when_told(registration, HTTPStatus.ACCEPTED)


def _answer_when_told(registration: Registration, status: HTTPStatus) -> Response:
    """Answer, after having waited for the message to settle if the client would rather wait."""
    seconds = preferred_seconds(request.headers.get("Prefer"))
    if not seconds:
        return registration_answer(registration, status)
    has_waited, latest = _after_waiting(registration, seconds)
    answer = registration_answer(latest, status)
    if has_waited:
        answer.headers["Preference-Applied"] = f"wait={seconds}"
    return answer


def _after_waiting(registration: Registration, seconds: int) -> tuple[bool, Registration]:
    """Return whether there was room to wait, and the registration as it stands after that.

    No connection is held between looks. What was written is committed: should the database go away
    now, the answer is the registration as it was.
    """
    if registration.delivery.status is not Status.PENDING:
        return True, registration
    try:
        has_waited = services().waiting_room.wait_until(lambda: _is_settled(registration.id), seconds)
        return has_waited, _looked_up(registration.id) if has_waited else registration
    except DATABASE_FAILURES as error:
        if not is_database_away(error):
            raise
        return False, registration


def _looked_up(registration_id: UUID) -> Registration:
    with services().sessions.begin() as session:
        return look_up(session, registration_id, resend_cooldown=services().terms.resend_cooldown)


def _is_settled(registration_id: UUID) -> bool:
    with services().sessions.begin() as session:
        return is_settled(session, registration_id)
