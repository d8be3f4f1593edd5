"""What answers look like, for the document. ``answers`` makes them; tests hold the two to each other."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from api_service.errors import CODES, FaultCode
from api_service.rate_limits import Limit
from api_service.use_cases.look_up import DeliveryProblem, Standing
from shared.vocabulary import Channel, Locale, OrganizationStatus, Purpose, Status, UserStatus

AN_ID = "0192f0c4-7a3e-7cc1-9a55-3d1f0a9b8c7d"
A_MOMENT = "2027-01-15T09:30:00.000Z"
AN_ACCESS_TOKEN = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"  # noqa: S105 - an example
A_REFRESH_TOKEN = "Zx3q…"  # noqa: S105 - an example


def _text(meaning: str, example: str | None, **more: Any) -> fields.String:
    options = {name: more.pop(name) for name in ("allow_none",) if name in more}
    return fields.String(required=True, metadata={"description": meaning, "examples": [example], **more}, **options)


def _word(kind: type[StrEnum] | Sequence[str], meaning: str, **more: Any) -> fields.String:
    words: list[str | None] = [str(word) for word in kind]
    return _text(meaning, words[0], enum=words + [None] * bool(more.get("allow_none")), **more)


def _id(meaning: str) -> fields.String:
    return _text(meaning, AN_ID, format="uuid")


def _moment(meaning: str, **more: Any) -> fields.String:
    return _text(meaning, A_MOMENT, format="date-time", **more)


def _yes(meaning: str, *, example: bool = True) -> fields.Boolean:
    return fields.Boolean(required=True, metadata={"description": meaning, "examples": [example]})


def _number(meaning: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": meaning, "examples": [example]})


class AnswerSchema(Schema):
    """An object that may have more members in a later release."""

    class Meta:
        """Clients are to overlook what they do not know."""

        unknown = EXCLUDE


class StatusSchema(AnswerSchema):
    """One word."""

    status = _text("how it is", "active")


class DeliverySchema(AnswerSchema):
    """How the newest message fares."""

    status = _word(Status, "of the newest message")
    attempts = _number("how many attempts were spent", 0)
    due_at = _moment("when it is tried next; null while it is being tried, and after its last try", allow_none=True)
    problem = _text("what keeps it, in our words", None, enum=[*map(str, DeliveryProblem), None], allow_none=True)


class OrganizationSchema(AnswerSchema):
    """How the organization stands that is founded with a registration."""

    name = _text("as it was given, in NFC and with single spaces", "Analytical Engines")
    status = _word(OrganizationStatus, "the code goes once it is `ready`, and never if it has `failed`")


class RegistrationSchema(AnswerSchema):
    """How a registration stands, as its holder may see it."""

    id = _id("a capability: whoever holds it may look the registration up, resend, and try codes")
    status = _word(Standing, "`expired` when the newest code works no longer")
    channel = _word(Channel, "which way the newest message goes")
    destination = _text("where it goes, masked", "a…@example.org")
    expires_at = _moment("until when its code works")
    email_confirmation_sent = _yes("whether the provider has accepted it, and it is an e-mail", example=False)
    can_resend = _yes("whether another message may be asked for now", example=False)
    resend_after = _moment("from when on another may be asked for, if not active")
    delivery = fields.Nested(DeliverySchema, required=True)
    organization = fields.Nested(OrganizationSchema)


class SessionSchema(AnswerSchema):
    """What a client goes on with, named as in OAuth (RFC 6749 §5.1)."""

    access_token = _text("who asks: `Authorization: Bearer …`", AN_ACCESS_TOKEN)
    token_type = _word(["Bearer"], "what kind of token")
    expires_in = _number("for how many seconds the access token holds", 600)
    refresh_token = _text("works once, for the next two tokens; keep it secret", A_REFRESH_TOKEN)


class ActivatedSchema(AnswerSchema):
    """The account is active; by code, with a session beside it (without its tokens where the answer is repeated)."""

    status = _word([UserStatus.ACTIVE], "how the account is now")
    access_token = fields.String(metadata=SessionSchema().fields["access_token"].metadata)
    token_type = fields.String(metadata=SessionSchema().fields["token_type"].metadata)
    expires_in = fields.Integer(metadata=SessionSchema().fields["expires_in"].metadata)
    refresh_token = fields.String(metadata=SessionSchema().fields["refresh_token"].metadata)


class ListedSessionSchema(AnswerSchema):
    """Where a user is signed in."""

    id = _id("the session's")
    created_at = _moment("when it began")
    last_used_at = _moment("when it was last refreshed")
    expires_at = _moment("when it ends at the latest, unless refreshed")
    user_agent = _text("what the client calls itself, shortened", "Firefox", allow_none=True)
    is_current = _yes("whether it is the one that asks")


class ListedSessionsSchema(AnswerSchema):
    """All sessions of a user."""

    sessions = fields.List(fields.Nested(ListedSessionSchema), required=True)


class ResetAskedSchema(AnswerSchema):
    """A code is on its way, or a word that there is no account; the message says until when the code works."""

    channel = _word(Channel, "which way")
    destination = _text("where to, masked", "a…@example.org")


class CodeSentSchema(AnswerSchema):
    """A code is on its way."""

    channel = _word(Channel, "which way")
    destination = _text("where to, masked", "a…@example.org")
    expires_at = _moment("until when it works")


class UserSchema(AnswerSchema):
    """A user as they see themselves."""

    id = _id("the user's, `sub` of access tokens")
    email = _text("as it was given", "ada@example.org", allow_none=True)
    is_email_verified = _yes("whether a code that went there came back")
    phone = _text("in E.164 form", None, allow_none=True)
    is_phone_verified = _yes("likewise", example=False)
    full_name = _text("what someone is called", "Ada Lovelace", allow_none=True)
    locale = _word(Locale, "in which language they are written to")
    created_at = _moment("when they registered")


class ExportedUserSchema(UserSchema):
    """A user, with all that is held."""

    status = _word(UserStatus, "how the account is")
    email_verified_at = _moment("when the address was proven", allow_none=True)
    phone_verified_at = _moment("when the number was proven", allow_none=True)
    activated_at = _moment("when the account became active", allow_none=True)


class ExportedTokenSchema(AnswerSchema):
    """A code or link that was sent, without what would make it work."""

    purpose = _word([one for one in Purpose if one is not Purpose.DECOY], "what it is for")
    channel = _word(Channel, "which way it went")
    new_address = _text("the address that it proves, if it does", None, allow_none=True)
    attempts_left = _number("how often it may still be tried", 5)
    created_at = _moment("when it was made")
    expires_at = _moment("until when it works")
    used_at = _moment("when it was used", allow_none=True)


class ExportSchema(AnswerSchema):
    """All that is held of a person."""

    user = fields.Nested(ExportedUserSchema, required=True)
    tokens = fields.List(fields.Nested(ExportedTokenSchema), required=True)
    sessions = fields.List(fields.Nested(ListedSessionSchema), required=True)
    messages = fields.List(fields.Dict(), required=True, metadata={"description": "with what went wrong in delivering"})


class KeySetSchema(AnswerSchema):
    """Public keys (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)


class DocumentSchema(AnswerSchema):
    """An OpenAPI document."""

    openapi = _text("the version of OpenAPI", "3.1.0")
    info = fields.Dict(required=True)
    tags = fields.List(fields.Dict(), required=True)
    paths = fields.Dict(required=True)
    components = fields.Dict(required=True)


class ButtonSchema(AnswerSchema):
    """The form that the activation page's button sends."""

    token = _text("the link's", "AZLwxHo-fsGaVT0fCpuMfQ.c2ln")
    password = fields.String(metadata={"description": "the registration's, where the page has asked for it"})


class DeclineSchema(AnswerSchema):
    """The form that the activation page's other button sends."""

    token = _text("the link's", "AZLwxHo-fsGaVT0fCpuMfQ.c2ln")


class FaultSchema(AnswerSchema):
    """One thing wrong with a body."""

    pointer = _text("where (RFC 6901): `#` is the whole body", "#/email")
    code = _word(FaultCode, "what, for programs")
    message = _text("what, for people", "This field is required.")


class ProblemSchema(AnswerSchema):
    """Why something is refused (RFC 9457). Codes stay what they are; the words beside them may change."""

    type = _text("the code as an address", "/problems/not_found", format="uri-reference")
    title = _text("the code in words", "Not found")
    status = _number("the HTTP status", 404)
    detail = _text("what to know, or to do", "There is nothing at this address.")
    code = _word(CODES, "for programs")
    request_id = _text("as in X-Request-Id", AN_ID)
    errors = fields.List(
        fields.Nested(FaultSchema), metadata={"description": "the first 50 faults, of `validation_failed`"}
    )
    limits = fields.List(
        fields.String(metadata={"enum": [str(limit) for limit in Limit]}),
        metadata={"description": "which were reached, of `too_many_requests`"},
    )
    missing = fields.List(fields.String(), metadata={"description": "of `not_ready`"})
    resend = fields.String(metadata={"description": "where to ask for the message again, of `account_not_activated`"})
