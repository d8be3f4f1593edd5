"""Schemas of request bodies. Unknown fields are rejected."""

from typing import Any, ClassVar
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, missing, post_load, validates_schema

from api_service.errors import ViolationCode
from api_service.schemas.fields import (
    Country,
    Email,
    FullName,
    Id,
    NewPassword,
    OneOf,
    OrganizationName,
    Password,
    Phone,
    Profile,
    ProfilePatch,
    Text,
    TypedCode,
)
from api_service.security import passwords
from api_service.use_cases.change_profile import ChangeUserCommand
from api_service.use_cases.register import NewOrganization, RegisterCommand
from api_service.use_cases.users import Address
from shared.profiles import ProfileSchema
from shared.vocabulary import Channel, Locale

NO_OBJECT: dict[str, Any] = {"null": ViolationCode.INVALID_TYPE, "type": ViolationCode.INVALID_TYPE}
ONE_ADDRESS = {"oneOf": [{"required": ["email"]}, {"required": ["phone"]}]}


class StrictSchema(Schema):
    """An object without unknown fields."""

    forms: ClassVar[dict[str, Any]] = {}
    """JSON Schema keywords for combinations of fields."""

    class Meta:
        """Reject unknown fields: a misspelt optional field would otherwise be ignored."""

        unknown = RAISE

    def __init__(self) -> None:
        super().__init__()
        self.error_messages |= {"unknown": ViolationCode.UNKNOWN_FIELD, "type": ViolationCode.INVALID_TYPE}


class WithPhoneSchema(StrictSchema):
    """A body with ``phone``, which may lack its country code if there is a default region."""

    def __init__(self, phone_region: str | None) -> None:
        super().__init__()
        self.fields["phone"].region = phone_region  # type: ignore[attr-defined]


def validate_password(body: dict[str, Any], field: str) -> None:
    """Raise ValidationError if the password in that field is weak, or is an address in the same body."""
    addresses = [body[name] for name in ("email", "phone") if name in body]
    violation = passwords.violation_in(body[field], addresses) if field in body else None
    if violation:
        raise ValidationError(violation, field)


class NewOrganizationSchema(StrictSchema):
    """An organization to create with the registration."""

    name = OrganizationName(required=True)
    country = Country()

    @post_load
    def _as_organization(self, body: dict[str, Any], **_more: Any) -> NewOrganization:
        return NewOrganization(body["name"], body.get("country"))


class OfOrganizations(fields.Field[Any]):
    """A field about organizations. It is rejected unless the schema ``has_organizations``."""

    def deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        """Return the value."""
        if value is not missing and not getattr(self.parent, "has_organizations", False):
            raise ValidationError(ViolationCode.NO_ORGANIZATIONS)
        return super().deserialize(value, *rest, **more)


class OrganizationField(OfOrganizations, fields.Nested):
    """An organization to found."""


class ChosenOrganization(OfOrganizations, Text):
    """The id of an organization to enter. A malformed id is refused like an unknown one, with the same problem."""

    json_schema: ClassVar = Id.json_schema

    def accepted(self, text: str) -> UUID:
        """Return the id; for a malformed one, an id without an organization."""
        try:
            return Id().accepted(text)
        except ValidationError:
            return UUID(int=0)


class RegisterSchema(WithPhoneSchema):
    """A registration. The default locale is the client's preferred language."""

    forms: ClassVar = {"anyOf": [{"required": ["email"]}, {"required": ["phone"]}]}

    email = Email()
    phone = Phone()
    password = NewPassword(required=True)
    full_name = FullName()
    locale = OneOf(Locale)
    profile = Profile()
    channel = OneOf(Channel)
    organization = OrganizationField(NewOrganizationSchema(), error_messages=NO_OBJECT)

    def __init__(
        self,
        preferred_locale: Locale,
        phone_region: str | None,
        profiles: ProfileSchema | None = None,
        *,
        has_organizations: bool = False,
    ) -> None:
        super().__init__(phone_region)
        self.has_organizations = has_organizations
        self.preferred_locale = preferred_locale
        self.profiles = profiles

    @validates_schema
    def _has_address_for_the_channel(self, body: dict[str, Any], **_more: Any) -> None:
        if not ("email" in body or "phone" in body):
            raise ValidationError(ViolationCode.ADDRESS_REQUIRED)
        needed = {Channel.EMAIL: "email", Channel.SMS: "phone"}
        if "channel" in body and needed[body["channel"]] not in body:
            raise ValidationError(ViolationCode.CHANNEL_WITHOUT_ADDRESS, "channel")

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        validate_password(body, "password")

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
            profile=body["profile"],
        )


class ResendSchema(StrictSchema):
    """The channel to resend on; by default the last one."""

    channel = OneOf(Channel)


class RefreshSchema(StrictSchema):
    """A session's newest refresh token."""

    refresh_token = Text(required=True)
    organization = ChosenOrganization()

    def __init__(self, *, has_organizations: bool = False) -> None:
        super().__init__()
        self.has_organizations = has_organizations


class ActivateSchema(StrictSchema):
    """The registration's id and code, or the link's token with a password if the API asked for one."""

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
            raise ValidationError(ViolationCode.ONE_FORM_REQUIRED)


class WithAddressSchema(StrictSchema):
    """A body with an e-mail address or a phone number, which becomes ``address``."""

    @post_load
    def _with_address(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        email, phone = body.pop("email", None), body.pop("phone", None)
        return body | {"address": Address(Channel.EMAIL, email) if email else Address(Channel.SMS, phone)}


class WithNewPasswordSchema(StrictSchema):
    """A body with ``new_password``, which must be a good password."""

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        validate_password(body, "new_password")


class AddressedSchema(WithAddressSchema, WithPhoneSchema):
    """An account, by e-mail address or phone number."""

    forms: ClassVar = ONE_ADDRESS

    email = Email()
    phone = Phone()

    @validates_schema
    def _has_one_address(self, body: dict[str, Any], **_more: Any) -> None:
        if not ("email" in body or "phone" in body):
            raise ValidationError(ViolationCode.ADDRESS_REQUIRED)
        if "email" in body and "phone" in body:
            raise ValidationError(ViolationCode.ONE_ADDRESS_ONLY)


class SignInSchema(AddressedSchema):
    """One address and the password."""

    password = Password(required=True)
    organization = ChosenOrganization()

    def __init__(self, phone_region: str | None, *, has_organizations: bool = False) -> None:
        super().__init__(phone_region)
        self.has_organizations = has_organizations


class RequestResetSchema(AddressedSchema):
    """The address of the account whose password to reset."""


class ConfirmResetSchema(AddressedSchema, WithNewPasswordSchema):
    """The code sent to the address, and the new password."""

    code = TypedCode(required=True)
    new_password = NewPassword(required=True)


class ChangePasswordSchema(WithNewPasswordSchema):
    """The current password and the new one."""

    old_password = Password(required=True)
    new_password = NewPassword(required=True)


class NewEmailSchema(WithAddressSchema):
    """A new e-mail address, and the account's password."""

    email = Email(required=True)
    password = Password(required=True)


class NewPhoneSchema(WithAddressSchema, WithPhoneSchema):
    """A new phone number, and the account's password."""

    phone = Phone(required=True)
    password = Password(required=True)


class CodeSchema(StrictSchema):
    """The code sent to a new address."""

    code = TypedCode(required=True)


class ChangeUserSchema(StrictSchema):
    """The fields to change. In `profile`, null removes a field (RFC 7396)."""

    full_name = FullName(allow_none=True)
    locale = OneOf(Locale)
    profile = ProfilePatch()

    def __init__(self, profiles: ProfileSchema | None = None) -> None:
        super().__init__()
        self.profiles = profiles

    @post_load
    def _as_command(self, body: dict[str, Any], **_more: Any) -> ChangeUserCommand:
        profile_patch = body.pop("profile")
        return ChangeUserCommand(body, profile_patch)


class EraseSchema(StrictSchema):
    """The account's password, optional right after signing in."""

    password = Password()
