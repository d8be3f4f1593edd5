"""Registrations, sessions, users and codes as JSON; clients rely on the names."""

from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Response, jsonify

from api_service.use_cases.addresses import Address
from api_service.use_cases.look_up import Registration
from api_service.use_cases.organizations import OrganizationStanding
from api_service.use_cases.personal_data import Held
from api_service.use_cases.sessions import ListedSession
from shared.masks import masked
from shared.models import Token, User
from shared.vocabulary import Purpose, Template

AS_SHOWN = {Purpose.DECOY: Purpose.ACTIVATION, Template.ACCOUNT_EXISTS: Template.ACTIVATION}
"""Who registers somebody else's address and activates by another way is not told here that it was taken."""


def registration_answer(registration: Registration, status: HTTPStatus) -> Response:
    """Return the answer that shows the registration."""
    answer = jsonify(registration_document(registration))
    answer.status_code = status
    return answer


def registration_document(registration: Registration) -> dict[str, Any]:
    """Return the JSON of a registration; moments are RFC 3339 in UTC."""
    delivery = registration.delivery
    return {
        "id": str(registration.id),
        "status": registration.status,
        "channel": registration.channel,
        "destination": registration.destination,
        "expires_at": _moment(registration.expires_at),
        "email_confirmation_sent": registration.is_email_confirmation_sent,
        "can_resend": registration.can_resend,
        "resend_after": _moment(registration.resend_after),
        "delivery": {
            "status": delivery.status,
            "attempts": delivery.attempts,
            "due_at": _moment_or_null(delivery.due_at),
            "problem": delivery.problem,
        },
        **_organization_document(registration.organization),
    }


def _organization_document(organization: OrganizationStanding | None) -> dict[str, Any]:
    if organization is None:
        return {}
    return {"organization": {"name": organization.name, "status": organization.status}}


def reset_answer(address: Address) -> Response:
    """Return the answer that tells of a reset asked for: nothing but what was asked.

    Not when the code expires: it may be a repeated one, so that its end would tell of it, and of its owner's use of it.
    """
    return _accepted(_code_document(address))


def code_answer(address: Address, expires_at: datetime) -> Response:
    """Return the answer that tells of a code on its way, and until when it will work."""
    return _accepted(_code_document(address) | {"expires_at": _moment(expires_at)})


def _accepted(document: dict[str, Any]) -> Response:
    answer = jsonify(document)
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


def _code_document(address: Address) -> dict[str, Any]:
    return {"channel": address.channel, "destination": masked(address.deliverable)}


def session_listing(listed: ListedSession, *, is_current: bool) -> dict[str, Any]:
    """Return the JSON of one of a user's sessions."""
    return {
        "id": str(listed.id),
        "created_at": _moment(listed.created_at),
        "last_used_at": _moment(listed.last_used_at),
        "expires_at": _moment(listed.expires_at),
        "user_agent": listed.user_agent,
        "is_current": is_current,
    }


def user_document(user: User) -> dict[str, Any]:
    """Return the JSON of a user as they see themselves."""
    return {
        "id": str(user.id),
        "email": user.email,
        "is_email_verified": user.email_verified_at is not None,
        "phone": user.phone,
        "is_phone_verified": user.phone_verified_at is not None,
        "full_name": user.full_name,
        "locale": user.locale,
        "created_at": _moment(user.created_at),
    }


def export_document(held: Held, current_session: UUID) -> dict[str, Any]:
    """Return the JSON of all that is held of a person."""
    return {
        "user": user_document(held.user)
        | {
            "status": held.user.status,
            "email_verified_at": _moment_or_null(held.user.email_verified_at),
            "phone_verified_at": _moment_or_null(held.user.phone_verified_at),
            "activated_at": _moment_or_null(held.user.activated_at),
        },
        "tokens": [_token_document(token) for token in held.tokens],
        "sessions": [session_listing(listed, is_current=listed.id == current_session) for listed in held.sessions],
        "messages": [
            message | {"template": AS_SHOWN.get(message["template"], message["template"])} for message in held.messages
        ],
    }


def _token_document(token: Token) -> dict[str, Any]:
    return {
        "purpose": AS_SHOWN.get(token.purpose, token.purpose),
        "channel": token.channel,
        "new_address": token.new_address,
        "attempts_left": token.attempts_left,
        "created_at": _moment(token.created_at),
        "expires_at": _moment(token.expires_at),
        "used_at": _moment_or_null(token.used_at),
    }


def _moment_or_null(moment: datetime | None) -> str | None:
    return _moment(moment) if moment else None


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
