"""What is said of each refusal and each fault: a status, a title and a sentence; only their codes are for programs."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

from api_service.errors import Code, FaultCode
from shared.web.kinds import COMMON_KINDS, Kind
from shared.web.refusals import CommonCode

KINDS: Mapping[StrEnum, Kind] = {
    **COMMON_KINDS,
    Code.INVALID_OR_EXPIRED: Kind(
        HTTPStatus.BAD_REQUEST, "Invalid or expired", "The code or link is wrong, was used already, or has expired."
    ),
    CommonCode.TOKEN_REQUIRED: Kind(
        HTTPStatus.UNAUTHORIZED, "Token required", "Send an access token: Authorization: Bearer and the token."
    ),
    CommonCode.INVALID_TOKEN: Kind(
        HTTPStatus.UNAUTHORIZED,
        "Invalid token",
        "The access token is not valid, has expired, or its session has ended.",
    ),
    Code.INVALID_CREDENTIALS: Kind(
        HTTPStatus.UNAUTHORIZED, "Invalid credentials", "The address and the password do not belong together."
    ),
    Code.INVALID_REFRESH_TOKEN: Kind(
        HTTPStatus.UNAUTHORIZED, "Invalid refresh token", "The session has ended, or this token was used already."
    ),
    Code.ACCOUNT_NOT_ACTIVATED: Kind(
        HTTPStatus.FORBIDDEN, "Account not activated", "The account waits for its code, which can be sent again."
    ),
    Code.WRONG_PASSWORD: Kind(HTTPStatus.FORBIDDEN, "Wrong password", "The password is not the account's."),
    Code.PASSWORD_REQUIRED: Kind(
        HTTPStatus.FORBIDDEN,
        "Password required",
        "The address was registered more than once: give the password that was chosen beside the link's token.",
    ),
    Code.FRESH_SIGN_IN_REQUIRED: Kind(
        HTTPStatus.FORBIDDEN, "Fresh sign-in required", "Give the password, or sign in again before asking for this."
    ),
    Code.ALREADY_ACTIVE: Kind(HTTPStatus.CONFLICT, "Already active", "The registration has been activated."),
    Code.ADDRESS_TAKEN: Kind(HTTPStatus.CONFLICT, "Address taken", "Another account has this address."),
    Code.ORGANIZATION_FAILED: Kind(
        HTTPStatus.CONFLICT, "Organization failed", "The organization could not be set up. Please register again."
    ),
    CommonCode.BODY_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", "A body has at most 16 KiB."
    ),
    CommonCode.URI_TOO_LONG: Kind(
        HTTPStatus.REQUEST_URI_TOO_LONG, "URI too long", "The request's first line is too long."
    ),
    CommonCode.UNSUPPORTED_MEDIA_TYPE: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "The body must be plain application/json.",
    ),
    CommonCode.VALIDATION_FAILED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed", "The errors say what is wrong, and where."
    ),
    Code.IDEMPOTENCY_KEY_MALFORMED: Kind(
        HTTPStatus.BAD_REQUEST, "Idempotency-Key malformed", "The key is a string of 16 to 255 visible characters."
    ),
    Code.IDEMPOTENCY_KEY_IN_USE: Kind(
        HTTPStatus.CONFLICT, "Idempotency-Key in use", "The first request with this key has not been answered yet."
    ),
    Code.IDEMPOTENCY_KEY_REUSED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key reused", "Another request has had this key already."
    ),
    Code.TOO_MANY_REQUESTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "Retry-After says in how many seconds to ask again."
    ),
    Code.TOO_MANY_ATTEMPTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts", "This code was tried too often and works no longer."
    ),
    Code.RESEND_TOO_SOON: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Resend too soon", "Retry-After says in how many seconds to ask again."
    ),
    Code.ORGANIZATION_NOT_READY: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Organization not ready", "The organization is being repaired; try again soon."
    ),
}

FAULTS: Mapping[str, str] = {
    FaultCode.REQUIRED: "This field is required.",
    FaultCode.UNKNOWN_FIELD: "There is no such field.",
    FaultCode.INVALID_TYPE: "This is not of the right JSON type.",
    FaultCode.INVALID_EMAIL: "This is not an e-mail address.",
    FaultCode.INVALID_PHONE: "This is not a phone number with its country code (+33…).",
    FaultCode.INVALID_ID: "This is not an id.",
    FaultCode.INVALID_CHOICE: "This is not one of the words that are possible here.",
    FaultCode.INVALID_COUNTRY: "This is not a country's code of two capital letters (ISO 3166-1 alpha-2).",
    FaultCode.TOO_SHORT: "This is too short.",
    FaultCode.TOO_LONG: "This is too long.",
    FaultCode.TOO_COMMON: "This password is among the first that anyone would try.",
    FaultCode.IS_THE_ADDRESS: "The password must not be the address.",
    FaultCode.CONTROL_CHARACTER: "This has a control character in it, or one that nobody sees.",
    FaultCode.ADDRESS_REQUIRED: "An e-mail address or a phone number is required.",
    FaultCode.ONE_ADDRESS_ONLY: "Give either an e-mail address or a phone number.",
    FaultCode.CHANNEL_WITHOUT_ADDRESS: "No address was given for this channel.",
    FaultCode.ONE_FORM_REQUIRED: "Give either token, or registration_id and code.",
}
