"""What bodies must look like. Each fault is one of FaultCode's words; ``bodies`` says where it was."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validates_schema

from api_service import passwords
from api_service.characters import BLANKS, refuse_controls, refuse_unseen
from api_service.errors import FaultCode
from api_service.use_cases.register import RegisterCommand
from api_service.use_cases.sign_in import Credentials
from shared.addresses import InvalidAddressError, canonical_phone, deliverable_email
from shared.vocabulary import Channel, Locale

LONGEST_NAME = 200
LONGEST_TEXT = 512
"""Far above any address, link token or code; parsers need not be fed more."""

# Written with its country code, in the ways people write numbers. The parser of phonenumbers would
# take letters and fish a number out of any sentence.
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{4,40}", re.ASCII)


class StrictSchema(Schema):
    """An object with no fields but those named."""

    class Meta:
        """Refuse what is not known: a misspelt optional field would otherwise go unnoticed."""

        unknown = RAISE

    def __init__(self) -> None:
        super().__init__()
        self.error_messages |= {"unknown": FaultCode.UNKNOWN_FIELD, "type": FaultCode.INVALID_TYPE}


class Text(fields.String):
    """A string of bounded length; numbers are not taken for strings."""

    longest = LONGEST_TEXT

    def __init__(self, **options: Any) -> None:
        is_of_wrong_type = dict.fromkeys(("null", "invalid", "invalid_utf8"), FaultCode.INVALID_TYPE)
        super().__init__(error_messages={"required": FaultCode.REQUIRED, **is_of_wrong_type}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        text = super()._deserialize(value, attr, data, **more)
        if len(text) > self.longest:
            raise ValidationError(FaultCode.TOO_LONG)
        return self.accepted(text)

    def accepted(self, text: str) -> Any:
        """Return the value that the text stands for, or raise ValidationError with a FaultCode."""
        return text


class Email(Text):
    """An address that a mail can be sent to; as a value, in deliverable form."""

    def accepted(self, text: str) -> str:
        """Return the deliverable form."""
        refuse_controls(text)
        try:
            return deliverable_email(text)
        except InvalidAddressError:
            raise ValidationError(FaultCode.INVALID_EMAIL) from None


class Phone(Text):
    """A number with its country code; as a value, in E.164 form."""

    def accepted(self, text: str) -> str:
        """Return the E.164 form."""
        refuse_controls(text)
        try:
            if _PHONE.fullmatch(text):
                return canonical_phone(text)
        except InvalidAddressError:
            pass
        raise ValidationError(FaultCode.INVALID_PHONE)


class FullName(Text):
    """What someone is called, without anything that could break a line or turn the text around."""

    def accepted(self, text: str) -> str:
        """Return the name without the spaces around it."""
        refuse_controls(text)
        refuse_unseen(text)
        name = text.strip()
        if not name.strip("".join(BLANKS) + " "):
            raise ValidationError(FaultCode.TOO_SHORT)
        if len(name) > LONGEST_NAME:
            raise ValidationError(FaultCode.TOO_LONG)
        return name


class Password(Text):
    """A password; as a value, normalised. What it must not be depends on the addresses beside it."""

    longest = 4 * passwords.LONGEST
    """Before normalising, which can shorten: decomposed letters take several code points."""

    def accepted(self, text: str) -> str:
        """Return the normalised form."""
        return passwords.normalised(text)


class OneOf(Text):
    """A word of a closed set."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind

    def accepted(self, text: str) -> StrEnum:
        """Return the member."""
        try:
            return self.kind(text)
        except ValueError:
            raise ValidationError(FaultCode.INVALID_CHOICE) from None


class Id(Text):
    """A UUID in its usual form."""

    def accepted(self, text: str) -> UUID:
        """Return the UUID."""
        try:
            return UUID(text)
        except ValueError:
            raise ValidationError(FaultCode.INVALID_ID) from None


class TypedCode(Text):
    """A code as someone typed it; as a value, without spaces."""

    def accepted(self, text: str) -> str:
        """Return what is left without the spaces that people read a code with."""
        return "".join(text.split())


class RegisterSchema(StrictSchema):
    """Who wants to register. Without a locale, the one that the client prefers is taken."""

    email = Email()
    phone = Phone()
    password = Password(required=True)
    full_name = FullName()
    locale = OneOf(Locale)
    channel = OneOf(Channel)

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
        addresses = [body[name] for name in ("email", "phone") if name in body]
        fault = passwords.fault_in(body["password"], addresses) if "password" in body else None
        if fault:
            raise ValidationError(fault, "password")

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
        )


class ResendSchema(StrictSchema):
    """Which way to send again, if not the last one."""

    channel = OneOf(Channel, load_default=None)


class SignInSchema(StrictSchema):
    """Who wants to sign in: one address, and the password, whatever it is."""

    email = Email()
    phone = Phone()
    password = Password(required=True)

    @validates_schema
    def _has_one_address(self, body: dict[str, Any], **_more: Any) -> None:
        given = body.keys() & {"email", "phone"}
        if not given:
            raise ValidationError(FaultCode.ADDRESS_REQUIRED)
        if len(given) > 1:
            raise ValidationError(FaultCode.ONE_ADDRESS_ONLY)

    @post_load
    def _as_credentials(self, body: dict[str, Any], **_more: Any) -> Credentials:
        channel = Channel.EMAIL if "email" in body else Channel.SMS
        return Credentials(channel, body.get("email") or body["phone"], body["password"])


class RefreshSchema(StrictSchema):
    """What a session was last given to go on with."""

    refresh_token = Text(required=True)


class ActivateSchema(StrictSchema):
    """What was in the message: the link's token, or the code with the registration's id."""

    token = Text()
    registration_id = Id()
    code = TypedCode()

    @validates_schema
    def _has_one_form(self, body: dict[str, Any], **_more: Any) -> None:
        if body.keys() not in ({"token"}, {"registration_id", "code"}):
            raise ValidationError(FaultCode.ONE_FORM_REQUIRED)
