"""The SMS gateway: ``POST /sms`` in JSON with a bearer token, like commercial gateways."""

import hmac
from typing import Any

from flask import Blueprint, Response, jsonify, request

from devstack.inbox.refusals import Refusals
from devstack.inbox.store import Sms, Store


def gateway(store: Store, refusals: Refusals, token: str) -> Blueprint:
    """Return the gateway, which accepts messages from clients with the token."""
    blueprint = Blueprint("gateway", __name__)

    @blueprint.post("/sms")
    def take_sms() -> tuple[Response, int]:
        if not _is_authorized(token):
            return _refusal("unauthorized", 401)
        sms = _sms_in(request.get_json(silent=True))
        if sms is None:
            return _refusal("invalid_message", 422)
        if sms.to in refusals:
            return _refusal("invalid_recipient", 422)
        return jsonify(id=store.store_sms(sms).id, status="accepted"), 202

    return blueprint


def _is_authorized(token: str) -> bool:
    offered = request.headers.get("Authorization", "")
    return hmac.compare_digest(offered.encode(), f"Bearer {token}".encode())


def _sms_in(body: Any) -> Sms | None:
    match body:
        case {"to": str(to), "text": str(text)} if to and text:
            own_id = body.get("id")
            return Sms(to, text, None if own_id is None else str(own_id), request.headers.get("Idempotency-Key"))
        case _:
            return None


def _refusal(code: str, status: int) -> tuple[Response, int]:
    return jsonify(code=code), status
