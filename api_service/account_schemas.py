"""What bodies about an account must look like."""

from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema

from api_service.body_fields import Email, NewPassword, Password, Phone, TypedCode
from api_service.errors import FaultCode
from api_service.schemas import ONE_ADDRESS, StrictSchema, refuse_bad_password
from api_service.use_cases.addresses import Address
from shared.vocabulary import Channel


class AddressedSchema(StrictSchema):
    """Whose account it is about: by the one address or by the other."""

    forms: ClassVar = ONE_ADDRESS

    email = Email()
    phone = Phone()

    @validates_schema
    def _has_one_address(self, body: dict[str, Any], **_more: Any) -> None:
        if not ("email" in body or "phone" in body):
            raise ValidationError(FaultCode.ADDRESS_REQUIRED)
        if "email" in body and "phone" in body:
            raise ValidationError(FaultCode.ONE_ADDRESS_ONLY)

    @post_load
    def _with_address(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        email, phone = body.pop("email", None), body.pop("phone", None)
        address = Address(Channel.EMAIL, email) if email else Address(Channel.SMS, phone)
        return body | {"address": address}


class SignInSchema(AddressedSchema):
    """Who wants to sign in: one address, and the password, whatever it is."""

    password = Password(required=True)


class AskForResetSchema(AddressedSchema):
    """Whose password is to be reset."""


class ConfirmResetSchema(AddressedSchema):
    """The code that went to the address, and the password to have from now on."""

    code = TypedCode(required=True)
    new_password = NewPassword(required=True)

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        refuse_bad_password(body, "new_password")


class ChangePasswordSchema(StrictSchema):
    """The password so far, whatever it is, and the one to have from now on."""

    old_password = Password(required=True)
    new_password = NewPassword(required=True)

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        refuse_bad_password(body, "new_password")


class NewEmailSchema(StrictSchema):
    """Another e-mail address, and the account's password."""

    email = Email(required=True)
    password = Password(required=True)

    @post_load
    def _with_address(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        return {"password": body["password"], "address": Address(Channel.EMAIL, body["email"])}


class NewPhoneSchema(StrictSchema):
    """Another number, and the account's password."""

    phone = Phone(required=True)
    password = Password(required=True)

    @post_load
    def _with_address(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        return {"password": body["password"], "address": Address(Channel.SMS, body["phone"])}


class CodeSchema(StrictSchema):
    """The code that went to a new address."""

    code = TypedCode(required=True)


class EraseSchema(StrictSchema):
    """The account's password; whoever has just signed in may leave it out."""

    password = Password()
