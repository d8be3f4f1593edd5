"""Schemas of requests about members and invitations. They are imported only with organizations."""

from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema

from api_service.errors import ViolationCode
from api_service.schemas.fields import Email, FullName, NewPassword, OneOf, Password, Profile, Text, TypedCode
from api_service.schemas.requests import StrictSchema, validate_password
from api_service.use_cases.invitations import InvitedRole, NewInvitation, NewMember
from api_service.use_cases.users import Address
from shared.profiles import ProfileSchema
from shared.vocabulary import Channel, Locale, MemberRole


class InviteSchema(StrictSchema):
    """Whom to invite. The default locale is that of the inviter. An invitation makes nobody an owner."""

    email = Email(required=True)
    role = OneOf(InvitedRole, required=True)
    locale = OneOf(Locale)

    @post_load
    def _as_new_invitation(self, body: dict[str, Any], **_more: Any) -> NewInvitation:
        address = Address(Channel.EMAIL, body["email"])
        return NewInvitation(address, MemberRole(body["role"]), body.get("locale"))


class AcceptInvitationSchema(StrictSchema):
    """The code or the link's token of the invitation."""

    forms: ClassVar = {"oneOf": [{"required": ["code"]}, {"required": ["token"]}]}

    code = TypedCode()
    token = Text()

    @validates_schema
    def _has_one_form(self, body: dict[str, Any], **_more: Any) -> None:
        if ("code" in body) == ("token" in body):
            raise ValidationError(ViolationCode.ONE_FORM_REQUIRED)


class RegisterInvitedSchema(StrictSchema):
    """The invited address with the code, or the link's token; and the account to create."""

    forms: ClassVar = {
        "oneOf": [
            {"required": ["email", "code"], "not": {"required": ["token"]}},
            {"required": ["token"], "not": {"anyOf": [{"required": ["email"]}, {"required": ["code"]}]}},
        ]
    }

    email = Email()
    code = TypedCode()
    token = Text()
    password = NewPassword(required=True)
    full_name = FullName()
    locale = OneOf(Locale)
    profile = Profile()

    def __init__(self, preferred_locale: Locale, profiles: ProfileSchema | None = None) -> None:
        super().__init__()
        self.preferred_locale = preferred_locale
        self.profiles = profiles

    @validates_schema
    def _has_one_form(self, body: dict[str, Any], **_more: Any) -> None:
        if body.keys() & {"email", "code", "token"} not in ({"token"}, {"email", "code"}):
            raise ValidationError(ViolationCode.ONE_FORM_REQUIRED)

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        validate_password(body, "password")

    @post_load
    def _with_new_member(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        locale = body.get("locale", self.preferred_locale)
        return body | {"new_member": NewMember(body.get("full_name"), locale, body["profile"])}


class ChangeMemberSchema(StrictSchema):
    """The new role. If it concerns an owner, also the password, which is optional right after signing in."""

    role = OneOf(MemberRole, required=True)
    password = Password()
