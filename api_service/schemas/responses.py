"""Schemas of responses: they produce the JSON and describe it in the OpenAPI document. Clients rely on the names."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from flask import Response, jsonify
from marshmallow import EXCLUDE, Schema, fields, post_dump

from api_service.errors import CODES, ViolationCode
from api_service.rate_limits import Limit
from api_service.use_cases.register import DeliveryProblem, RegistrationStatus
from shared.reports.report import ReportKind
from shared.templates import Template
from shared.vocabulary import Channel, Locale, MemberRole, OrganizationStatus, Purpose, Status, UserStatus

if TYPE_CHECKING:
    from api_service.use_cases.organizations import OrganizationView

AN_ID = "0192f0c4-7a3e-7cc1-9a55-3d1f0a9b8c7d"
A_TIMESTAMP = "2027-01-15T09:30:00.000Z"
AN_ACCESS_TOKEN = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"  # noqa: S105 - an example
A_REFRESH_TOKEN = "Zx3q…"  # noqa: S105 - an example
PUBLIC_NAMES: dict[str, str] = {Purpose.DECOY: Purpose.ACTIVATION, Template("account_exists"): Template("activation")}
"""A decoy looks like an activation: an owner who activates otherwise does not learn that an address was taken."""


class Timestamp(fields.String):
    """A time in RFC 3339, in UTC."""

    def _serialize(self, value: Any, *_rest: Any, **_more: Any) -> str | None:
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if value else None


def _text(meaning: str, example: str | None, kind: type[fields.String] = fields.String, **more: Any) -> fields.String:
    options = {name: more.pop(name) for name in ("allow_none",) if name in more}
    return kind(required=True, metadata={"description": meaning, "examples": [example], **more}, **options)


def _enum(kind: type[StrEnum] | Sequence[str], meaning: str, **more: Any) -> fields.String:
    values: list[str | None] = [str(value) for value in kind]
    return _text(meaning, values[0], enum=values + [None] * bool(more.get("allow_none")), **more)


def _id(meaning: str) -> fields.String:
    return _text(meaning, AN_ID, format="uuid")


def _timestamp(meaning: str, **more: Any) -> fields.String:
    return _text(meaning, A_TIMESTAMP, Timestamp, format="date-time", **more)


def _boolean(meaning: str, *, example: bool = True, **options: Any) -> fields.Boolean:
    return fields.Boolean(required=True, metadata={"description": meaning, "examples": [example]}, **options)


def _number(meaning: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": meaning, "examples": [example]})


class ResponseSchema(Schema):
    """An object that may gain members in a later release."""

    class Meta:
        """Clients ignore unknown members."""

        unknown = EXCLUDE

    @classmethod
    @cache
    def instance(cls) -> Self:
        """Return the instance that all responses share: marshmallow copies all fields of each new one."""
        return cls()

    @classmethod
    def response(cls, value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
        """Return the response that contains the value's JSON."""
        response = jsonify(cls.instance().dump(value))
        response.status_code = status
        return response


class StatusSchema(ResponseSchema):
    """A status."""

    status = _text("the status", "active")


class DeliverySchema(ResponseSchema):
    """The delivery of the newest message."""

    status = _enum(Status, "the status of the newest message")
    attempts = _number("the number of attempts so far", 0)
    due_at = _timestamp("the time of the next attempt; null during an attempt and after the last one", allow_none=True)
    problem = _text("why it is not delivered", None, enum=[*map(str, DeliveryProblem), None], allow_none=True)
    state = _text(
        "what became of it after it was sent, if that was reported",
        None,
        enum=[*map(str, ReportKind), None],
        allow_none=True,
    )


class OrganizationSchema(ResponseSchema):
    """An organization, as its founder or another member sees it."""

    id = _id("the id of the organization")
    name = _text("as given, in NFC with single spaces", "Analytical Engines")
    role = _enum(MemberRole, "the member's role; a registration shows the role that its activation gives")
    status = _enum(OrganizationStatus, "`ready` once its database was created, or `failed`")


def organization_member(organization: "OrganizationView | None") -> dict[str, Any]:
    """Return the member ``organization`` of a response, or no member without an organization."""
    return {"organization": OrganizationSchema.instance().dump(organization)} if organization else {}


def organizations_member(organizations: "list[OrganizationView]") -> dict[str, Any]:
    """Return the member ``organizations`` of a response."""
    return {"organizations": [OrganizationSchema.instance().dump(organization) for organization in organizations]}


class RegistrationSchema(ResponseSchema):
    """A registration, as the holder of its id sees it."""

    id = _id("a capability: it permits lookups, resends and tries of codes")
    status = _enum(RegistrationStatus, "`expired` when the newest code no longer works")
    channel = _enum(Channel, "the channel of the newest message")
    destination = _text("its recipient, masked", "a…@example.org")
    expires_at = _timestamp("when its code expires")
    email_confirmation_sent = _boolean(
        "whether it is an e-mail that a provider has accepted", example=False, attribute="is_email_confirmation_sent"
    )
    can_resend = _boolean("whether a resend is possible now", example=False)
    resend_after = _timestamp("when a resend is possible, unless active")
    delivery = fields.Nested(DeliverySchema, required=True)
    organization = fields.Nested(OrganizationSchema)

    @post_dump
    def _without_no_organization(self, document: dict[str, Any], **_more: Any) -> dict[str, Any]:
        return {name: value for name, value in document.items() if (name, value) != ("organization", None)}


class SessionSchema(ResponseSchema):
    """The tokens of a session, named as in OAuth (RFC 6749 §5.1)."""

    access_token = _text("send it as `Authorization: Bearer …`", AN_ACCESS_TOKEN)
    token_type = _enum(["Bearer"], "the type of the token")
    expires_in = _number("how many seconds the access token is valid", 600)
    refresh_token = _text("exchange it once for the next two tokens; keep it secret", A_REFRESH_TOKEN)


class _OptionalSessionSchema(ResponseSchema):
    access_token = fields.String(metadata=SessionSchema().fields["access_token"].metadata)
    token_type = fields.String(metadata=SessionSchema().fields["token_type"].metadata)
    expires_in = fields.Integer(metadata=SessionSchema().fields["expires_in"].metadata)
    refresh_token = fields.String(metadata=SessionSchema().fields["refresh_token"].metadata)


class ActivatedSchema(_OptionalSessionSchema):
    """The active account. Activation by code also returns a session; a replayed response lacks its tokens."""

    status = _enum([UserStatus.ACTIVE], "the status of the account")
    organization = fields.Nested(OrganizationSchema, metadata={"description": "the organization, if any"})


class RegisteredSchema(_OptionalSessionSchema, RegistrationSchema):
    """A new registration. With UNCONFIRMED_ACCESS it has a limited session; a replayed response lacks its tokens."""


class ListedSessionSchema(ResponseSchema):
    """One session of a user."""

    id = _id("the id of the session")
    created_at = _timestamp("when it started")
    last_used_at = _timestamp("when it was last refreshed")
    expires_at = _timestamp("when it expires unless refreshed")
    user_agent = _text("the client's user agent, shortened", "Firefox", allow_none=True)
    is_current = _boolean("whether it is the current session")


class ListedSessionsSchema(ResponseSchema):
    """All sessions of a user."""

    sessions = fields.List(fields.Nested(ListedSessionSchema), required=True)


class ResetAskedSchema(ResponseSchema):
    """Where the message goes: a code with its expiry, or a note that there is no account."""

    channel = _enum(Channel, "the channel of the message")
    destination = _text("its recipient, masked", "a…@example.org")


class CodeSentSchema(ResetAskedSchema):
    """Where the code goes."""

    expires_at = _timestamp("when it expires")


class UserSchema(ResponseSchema):
    """The signed-in user."""

    id = _id("the id of the user, `sub` in access tokens")
    email = _text("as given", "ada@example.org", allow_none=True)
    is_email_verified = _boolean("whether a code sent there was returned")
    phone = _text("in E.164 form", None, allow_none=True)
    is_phone_verified = _boolean("likewise", example=False)
    full_name = _text("the user's name", "Ada Lovelace", allow_none=True)
    locale = _enum(Locale, "the language of messages")
    profile = fields.Dict(
        required=True,
        metadata={"description": "the fields that PROFILE_SCHEMA defines", "examples": [{"first_name": "Ada"}]},
    )
    created_at = _timestamp("when the user registered")
    organizations = fields.List(
        fields.Nested(OrganizationSchema),
        metadata={"description": "in the order of joining; missing if ORGANIZATIONS is `off`"},
    )


class MemberSchema(ResponseSchema):
    """A member of an organization."""

    user_id = _id("the id of the user")
    full_name = _text("the user's name", "Ada Lovelace", allow_none=True)
    email = _text("the proven address; null for members who are neither owner nor admin", None, allow_none=True)
    phone = _text("likewise", None, allow_none=True)
    role = _enum(MemberRole, "the member's role")
    joined_at = _timestamp("when the user joined")


class MembersSchema(ResponseSchema):
    """All members of an organization."""

    members = fields.List(fields.Nested(MemberSchema), required=True)


class InvitationSchema(ResponseSchema):
    """An invitation that was not accepted. It does not show whether the address has an account."""

    id = _id("the id of the invitation")
    organization_id = _id("the id of the organization")
    email = _text("the invited address", "bea@example.org")
    role = _enum([MemberRole.ADMIN, MemberRole.MEMBER], "the role that it gives")
    created_at = _timestamp("when it was sent")
    expires_at = _timestamp("when its code and link expire")


class InvitationsSchema(ResponseSchema):
    """Invitations that were not accepted."""

    invitations = fields.List(fields.Nested(InvitationSchema), required=True)


class ExportedUserSchema(UserSchema):
    """The user, with everything stored."""

    status = _enum(UserStatus, "the status of the account")
    email_verified_at = _timestamp("when the address was proven", allow_none=True)
    phone_verified_at = _timestamp("when the number was proven", allow_none=True)
    activated_at = _timestamp("when the account became active", allow_none=True)
    first_sign_in_at = _timestamp("when a session first started", allow_none=True)


class ExportedClientSchema(ResponseSchema):
    """A device or network that the user signed in from. Only a hash of it is stored."""

    kind = _text("`device` or `network`", "device")
    first_seen_at = _timestamp("the first sign-in from it")
    last_seen_at = _timestamp("the last sign-in from it")


class ExportedEventSchema(ResponseSchema):
    """What a security notice reports."""

    kind = _text("the template of the notice", "unfamiliar_sign_in")
    device = _text("the kind of device, if known", "Firefox (Linux)", allow_none=True)
    network = _text("the approximate network, if known", "192.0.2.*", allow_none=True)
    occurred_at = _timestamp("when it happened")
    notified_at = _timestamp("when its notice was added to the outbox", allow_none=True)


class ExportedTokenSchema(ResponseSchema):
    """A code or link that was sent, without its secret."""

    purpose = _enum([one for one in Purpose if one not in (Purpose.DECOY, Purpose.INVITATION)], "its purpose")
    channel = _enum(Channel, "the channel of its message")
    new_address = _text("the new address that it proves, if any", None, allow_none=True)
    attempts_left = _number("the remaining attempts", 5)
    created_at = _timestamp("when it was created")
    expires_at = _timestamp("when it expires")
    used_at = _timestamp("when it was used", allow_none=True)

    @post_dump
    def _with_public_purpose(self, document: dict[str, Any], **_more: Any) -> dict[str, Any]:
        return document | {"purpose": PUBLIC_NAMES.get(document["purpose"], document["purpose"])}


class ExportSchema(ResponseSchema):
    """All personal data of the user."""

    user = fields.Nested(ExportedUserSchema, required=True)
    tokens = fields.List(fields.Nested(ExportedTokenSchema), required=True)
    sessions = fields.List(fields.Nested(ListedSessionSchema), required=True)
    seen_clients = fields.List(fields.Nested(ExportedClientSchema), required=True)
    security_events = fields.List(fields.Nested(ExportedEventSchema), required=True)
    messages = fields.List(fields.Dict(), required=True, metadata={"description": "with delivery errors and reports"})
    invitations = fields.List(
        fields.Nested(InvitationSchema),
        metadata={"description": "sent, or received at a proven address; missing if ORGANIZATIONS is `off`"},
    )

    @post_dump
    def _with_public_templates(self, document: dict[str, Any], **_more: Any) -> dict[str, Any]:
        messages = [
            message | {"template": PUBLIC_NAMES.get(message["template"], message["template"])}
            for message in document["messages"]
        ]
        return document | {"messages": messages}


class KeySetSchema(ResponseSchema):
    """Public keys (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)


class DocumentSchema(ResponseSchema):
    """An OpenAPI document."""

    openapi = _text("the version of OpenAPI", "3.1.0")
    info = fields.Dict(required=True)
    tags = fields.List(fields.Dict(), required=True)
    paths = fields.Dict(required=True)
    components = fields.Dict(required=True)


class ActivationFormSchema(ResponseSchema):
    """The form of the activation page's first button."""

    token = _text("the token of the link", "AZLwxHo-fsGaVT0fCpuMfQ.c2ln")
    password = fields.String(metadata={"description": "the registration's password, if the page asked for it"})


class InvitationFormSchema(ResponseSchema):
    """The form of the invitation page's first button."""

    token = _text("the token of the link", "AZLwxHo-fsGaVT0fCpuMfQ.c2ln")
    password = fields.String(metadata={"description": "the password of a new account, if the page asked for it"})


class LinkFormSchema(ResponseSchema):
    """The form of a button on a page behind a link."""

    token = _text("the token of the link", "AZLwxHo-fsGaVT0fCpuMfQ.c2ln")


class ViolationSchema(ResponseSchema):
    """One invalid part of a body."""

    pointer = _text("the location (RFC 6901): `#` is the whole body", "#/email")
    code = _enum(ViolationCode, "a stable code")
    message = _text("a text for people", "This field is required.")


class ProblemSchema(ResponseSchema):
    """A problem (RFC 9457). Codes are stable; titles and details may change."""

    type = _text("the code as a URI reference", "/problems/not_found", format="uri-reference")
    title = _text("a short text", "Not found")
    status = _number("the HTTP status", 404)
    detail = _text("an explanation", "There is nothing at this address.")
    code = _enum(CODES, "a stable code")
    request_id = _text("as in X-Request-Id", AN_ID)
    errors = fields.List(
        fields.Nested(ViolationSchema), metadata={"description": "the first 50 violations, of `validation_failed`"}
    )
    limits = fields.List(
        fields.String(metadata={"enum": [str(limit) for limit in Limit]}),
        metadata={"description": "the limits reached, of `too_many_requests`"},
    )
    missing = fields.List(fields.String(), metadata={"description": "what is missing, of `not_ready`"})
    resend = fields.String(metadata={"description": "the address to request a resend, of `account_not_activated`"})
