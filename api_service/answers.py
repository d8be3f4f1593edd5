"""Registrations and codes as JSON; clients rely on the names."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from api_service.use_cases.addresses import Address
from api_service.use_cases.look_up import Registration
from shared.addresses import masked


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
            "due_at": _moment(delivery.due_at) if delivery.due_at else None,
            "problem": delivery.problem,
        },
    }


def code_document(address: Address, expires_at: datetime) -> dict[str, Any]:
    """Return the JSON of a code that is on its way: nothing but what was asked, and until when it will work."""
    return {
        "channel": address.channel,
        "destination": masked(address.deliverable),
        "expires_at": _moment(expires_at),
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
