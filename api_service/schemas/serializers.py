"""Serialize registrations, sessions, users and codes to JSON. Clients rely on the names."""

from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Response, jsonify

from api_service.use_cases.look_up import Registration
from api_service.use_cases.organizations import OrganizationSummary
from api_service.use_cases.personal_data import PersonalData
from api_service.use_cases.sessions import ListedSession
from api_service.use_cases.users import Address
from shared.masks import masked
from shared.models import Token, User
from shared.templates import Template
from shared.vocabulary import Purpose

PUBLIC_NAMES = {Purpose.DECOY: Purpose.ACTIVATION, Template("account_exists"): Template("activation")}
"""A decoy looks like an activation: an owner who activates otherwise does not learn that an address was taken."""


def registration_response(registration: Registration, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return the response that contains the registration."""
    response = jsonify(registration_document(registration))
    response.status_code = status
    return response


def registration_document(registration: Registration) -> dict[str, Any]:
    """Return the JSON of a registration. Timestamps are RFC 3339 in UTC."""
    delivery = registration.delivery
    return {
        "id": str(registration.id),
        "status": registration.status,
        "channel": registration.channel,
        "destination": registration.destination,
        "expires_at": _timestamp(registration.expires_at),
        "email_confirmation_sent": registration.is_email_confirmation_sent,
        "can_resend": registration.can_resend,
        "resend_after": _timestamp(registration.resend_after),
        "delivery": {
            "status": delivery.status,
            "attempts": delivery.attempts,
            "due_at": _timestamp_or_null(delivery.due_at),
            "problem": delivery.problem,
        },
        **_organization_document(registration.organization),
    }


def _organization_document(organization: OrganizationSummary | None) -> dict[str, Any]:
    if organization is None:
        return {}
    return {"organization": {"name": organization.name, "status": organization.status}}


def reset_response(address: Address) -> Response:
    """Return the response to a reset request, which repeats only the input.

    It omits the expiry: a repeated code keeps its earlier one, which would reveal that the account's owner had asked
    before.
    """
    return _accepted(_code_document(address))


def code_response(address: Address, expires_at: datetime) -> Response:
    """Return the response for a code that was sent, with its expiry."""
    return _accepted(_code_document(address) | {"expires_at": _timestamp(expires_at)})


def _accepted(document: dict[str, Any]) -> Response:
    response = jsonify(document)
    response.status_code = HTTPStatus.ACCEPTED
    return response


def _code_document(address: Address) -> dict[str, Any]:
    return {"channel": address.channel, "destination": masked(address.deliverable)}


def listed_session_document(listed: ListedSession, *, is_current: bool) -> dict[str, Any]:
    """Return the JSON of one session."""
    return {
        "id": str(listed.id),
        "created_at": _timestamp(listed.created_at),
        "last_used_at": _timestamp(listed.last_used_at),
        "expires_at": _timestamp(listed.expires_at),
        "user_agent": listed.user_agent,
        "is_current": is_current,
    }


def user_document(user: User) -> dict[str, Any]:
    """Return the JSON of a user."""
    return {
        "id": str(user.id),
        "email": user.email,
        "is_email_verified": user.email_verified_at is not None,
        "phone": user.phone,
        "is_phone_verified": user.phone_verified_at is not None,
        "full_name": user.full_name,
        "locale": user.locale,
        "created_at": _timestamp(user.created_at),
    }


def export_document(data: PersonalData, current_session: UUID) -> dict[str, Any]:
    """Return the JSON of all personal data of a user."""
    return {
        "user": user_document(data.user)
        | {
            "status": data.user.status,
            "email_verified_at": _timestamp_or_null(data.user.email_verified_at),
            "phone_verified_at": _timestamp_or_null(data.user.phone_verified_at),
            "activated_at": _timestamp_or_null(data.user.activated_at),
        },
        "tokens": [_token_document(token) for token in data.tokens],
        "sessions": [
            listed_session_document(listed, is_current=listed.id == current_session) for listed in data.sessions
        ],
        "messages": [
            message | {"template": PUBLIC_NAMES.get(message["template"], message["template"])}
            for message in data.messages
        ],
    }


def _token_document(token: Token) -> dict[str, Any]:
    return {
        "purpose": PUBLIC_NAMES.get(token.purpose, token.purpose),
        "channel": token.channel,
        "new_address": token.new_address,
        "attempts_left": token.attempts_left,
        "created_at": _timestamp(token.created_at),
        "expires_at": _timestamp(token.expires_at),
        "used_at": _timestamp_or_null(token.used_at),
    }


def _timestamp_or_null(moment: datetime | None) -> str | None:
    return _timestamp(moment) if moment else None


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
