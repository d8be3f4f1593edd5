"""What tests ask of an account's codes: the right one of each purpose, and the messages about it."""

from typing import Any
from uuid import UUID

from werkzeug.test import TestResponse

from shared.secrets import code_for
from tests.support.api import ApiUnderTest
from tests.support.keys import KEY

ADA = "ada@example.org"
NUMBER = "+447400123456"
NEW_PASSWORD = "another four quiet words"


def newest_code(api: ApiUnderTest, purpose: str) -> str:
    """Return the code of the newest token of that purpose."""
    return code_for(tokens_for(api, purpose)[0].id, KEY)


def tokens_for(api: ApiUnderTest, purpose: str) -> list[Any]:
    """Return all tokens of that purpose, newest first."""
    return api.rows("select * from tokens where purpose = %s order by created_at desc, id", purpose)


def ask_for_reset(api: ApiUnderTest, email: str = ADA, **headers: str) -> TestResponse:
    return api.client.post("/v1/password-resets", json={"email": email}, headers=headers)


def confirm_reset(api: ApiUnderTest, code: str, password: str = NEW_PASSWORD, **address: str) -> TestResponse:
    body = {"code": code, "new_password": password} | (address or {"email": ADA})
    return api.client.post("/v1/password-resets/confirm", json=body)


def templates_told(api: ApiUnderTest, user_id: UUID) -> list[str]:
    """Return which words the user's messages carry, the oldest first."""
    return [message.template for message in reversed(api.messages(user_id))]


def tables(api: ApiUnderTest) -> str:
    """Return all that is held, as text."""
    names = ("users", "tokens", "outbox_messages", "delivery_attempts")
    return "\n".join(str(row) for name in names for row in api.rows(f"select * from {name}"))
