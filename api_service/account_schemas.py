"""What bodies about an account must look like."""

from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from api_service import passwords
from api_service.errors import FaultCode
from api_service.schemas import Email, Password, Phone, StrictSchema, TypedCode
from api_service.use_cases.addresses import Address
from shared.vocabulary import Channel


class AddressedSchema(StrictSchema):
    """Whose account it is about: by the one address or by the other."""

    email = Email()
    phone = Phone()

    @validates_schema
    def _has_one_address(self, body: dict[str, Any], **_more: Any) -> None:
        if not ("email" in body or "phone" in body):
            raise ValidationError(FaultCode.ADDRESS_REQUIRED)
        if "email" in body and "phone" in body:
            raise ValidationError(FaultCode.ONE_ADDRESS_REQUIRED)

    @post_load
    def _with_address(self, body: dict[str, Any], **_more: Any) -> dict[str, Any]:
        email, phone = body.pop("email", None), body.pop("phone", None)
        address = Address(Channel.EMAIL, email) if email else Address(Channel.SMS, phone)
        return body | {"address": address}


class AskForResetSchema(AddressedSchema):
    """Whose password is to be reset."""


class ConfirmResetSchema(AddressedSchema):
    """The code that went to the address, and the password to have from now on."""

    code = TypedCode(required=True)
    new_password = Password(required=True)

    @validates_schema(skip_on_field_errors=False)
    def _has_good_password(self, body: dict[str, Any], **_more: Any) -> None:
        addresses = [body[name] for name in ("email", "phone") if name in body]
        fault = passwords.fault_in(body["new_password"], addresses) if "new_password" in body else None
        if fault:
            raise ValidationError(fault, "new_password")
