"""Helpers for codes, tokens and messages of accounts."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from werkzeug.test import TestResponse

from api_service.security import passwords
from shared.secrets import code_for
from tests.support.api import PASSWORD, ApiUnderTest
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


def is_password(api: ApiUnderTest, password: str) -> bool:
    """Return whether this is the password of the only active user."""
    [user] = api.rows("select password_hash from users where status = 'active'")
    return passwords.verify_password(user.password_hash, password)


def templates_sent_to(api: ApiUnderTest, user_id: UUID) -> list[str]:
    """Return the templates of the user's messages, oldest first."""
    return [message.template for message in reversed(api.messages(user_id))]


def tables(api: ApiUnderTest) -> str:
    """Return the content of all tables as text."""
    names = ("users", "tokens", "outbox_messages", "delivery_attempts")
    return "\n".join(str(row) for name in names for row in api.rows(f"select * from {name}"))


def problem(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@dataclass(frozen=True)
class Account:
    """A signed-in user."""

    api: ApiUnderTest
    id: UUID
    access_token: str

    def post(self, path: str, **body: Any) -> TestResponse:
        return self.api.client.post(path, json=body, headers=self.headers)

    def patch(self, path: str, **body: Any) -> TestResponse:
        return self.api.client.patch(path, json=body, headers=self.headers)

    def get(self, path: str) -> TestResponse:
        return self.api.client.get(path, headers=self.headers)

    def erase(self, **body: Any) -> TestResponse:
        return self.api.client.delete("/v1/me", json=body, headers=self.headers)

    def is_signed_in(self) -> bool:
        return self.get("/v1/me").status_code == 200

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


def signed_in(api: ApiUnderTest, email: str = ADA, password: str = PASSWORD) -> str:
    response = api.client.post("/v1/sessions", json={"email": email, "password": password})
    assert response.status_code == 201, response.text
    return str(response.json["access_token"])
