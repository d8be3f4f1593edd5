"""What bodies must look like as a whole; ``bodies`` says where a fault was."""

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validates_schema

from api_service import passwords
from api_service.body_fields import (
    Country,
    Email,
    FullName,
    Id,
    NewPassword,
    OneOf,
    OrganizationName,
    Password,
    Phone,
    Text,
    TypedCode,
)
from api_service.errors import FaultCode
from api_service.use_cases.organizations import NewOrganization
from api_service.use_cases.register import RegisterCommand
from shared.vocabulary import Channel, Locale

NO_OBJECT: dict[str, Any] = {"null": FaultCode.INVALID_TYPE, "type": FaultCode.INVALID_TYPE}
ONE_ADDRESS = {"oneOf": [{"required": ["email"]}, {"required": ["phone"]}]}


class StrictSchema(Schema):
    """An object with no fields but those named."""

    forms: ClassVar[dict[str, Any]] = {}
    """Which fields go together, in the words of JSON Schema."""

    class Meta:
        """Refuse what is not known: a misspelt optional field would otherwise go unnoticed."""

        unknown = RAISE

    def __init__(self) -> None:
        super().__init__()
        self.error_messages |= {"unknown": FaultCode.UNKNOWN_FIELD, "type": FaultCode.INVALID_TYPE}


def refuse_bad_password(body: dict[str, Any], field: str) -> None:
    """Raise ValidationError where the password in that field may not be one, also as it is an address beside it."""
    addresses = [body[name] for name in ("email", "phone") if name in body]
    fault = passwords.fault_in(body[field], addresses) if field in body else None
    if fault:
        raise ValidationError(fault, field)


class FoundSchema(StrictSchema):
    """The organization that is founded with the registration."""

    name = OrganizationName(required=True)
    country = Country()

    @post_load
    def _as_organization(self, body: dict[str, Any], **_more: Any) -> NewOrganization:
        return NewOrganization(body["name"], body.get("country"))


class RegisterSchema(StrictSchema):
    """Who wants to register. Without a locale, the one that the client prefers is taken."""

    forms: ClassVar = {"anyOf": [{"required": ["email"]}, {"required": ["phone"]}]}

    email = Email()
    phone = Phone()
    password = NewPassword(required=True)
    full_name = FullName()
    locale = OneOf(Locale)
    channel = OneOf(Channel)
    organization = fields.Nested(FoundSchema(), error_messages=NO_OBJECT)

    def __init__(self, preferred_locale: Locale) -> None:
        super().__init__()
        self.preferred_locale = preferred_locale

    @validates_schema
    def _has_address_for_the_channel(self, body: dict[str, Any], **_more: Any) -> None:
        if not ("email" in body or "phone" in body):
            raise ValidationError(FaultCode.ADDRESS_REQUIRED)
        needed = {Channel.EMAIL: "email", Channel.SMS: "phone"}
        if "channel" in body and needed[body["channel"]] not in body:
            raise ValidationError(FaultCode.CHANNEL_WITHOUT_ADDRESS, "channel")

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        refuse_bad_password(body, "password")

    @post_load
    def _as_command(self, body: dict[str, Any], **_more: Any) -> RegisterCommand:
        email, phone = body.get("email"), body.get("phone")
        return RegisterCommand(
            email=email,
            phone=phone,
            password=body["password"],
            full_name=body.get("full_name"),
            locale=body.get("locale", self.preferred_locale),
            channel=body.get("channel", Channel.EMAIL if email else Channel.SMS),
            organization=body.get("organization"),
        )


class ResendSchema(StrictSchema):
    """Which way to send again, if not the last one."""

    channel = OneOf(Channel)


class RefreshSchema(StrictSchema):
    """What a session was last given to go on with."""

    refresh_token = Text(required=True)


class ActivateSchema(StrictSchema):
    """What was in the message: the code with the registration's id, or the link's token, with the password if asked."""

    forms: ClassVar = {
        "oneOf": [
            {
                "required": ["registration_id", "code"],
                "not": {"anyOf": [{"required": ["token"]}, {"required": ["password"]}]},
            },
            {"required": ["token"], "not": {"anyOf": [{"required": ["registration_id"]}, {"required": ["code"]}]}},
        ]
    }

    token = Text()
    password = Password()
    registration_id = Id()
    code = TypedCode()

    @validates_schema
    def _has_one_form(self, body: dict[str, Any], **_more: Any) -> None:
        if body.keys() not in ({"token"}, {"token", "password"}, {"registration_id", "code"}):
            raise ValidationError(FaultCode.ONE_FORM_REQUIRED)
