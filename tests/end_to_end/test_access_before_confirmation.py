"""An account with a limited session before its activation, and the resource server of the guide, as real processes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from devstack.ports import LOOPBACK, free_port
from tests.support import plain_http
from tests.support.commands import ROOT
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.inbox import Inbox, running_inbox
from tests.support.keys import PUBLIC_URL
from tests.support.processes import running_api
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

GUIDE = ROOT / "docs" / "guides" / "access-before-confirmation.md"
ADA = "ada@example.org"
PASSWORD = "four quiet words here"
STRANGERS = "four words of a stranger"
Tokens = dict[str, Any]


@dataclass(frozen=True)
class World:
    """The API, a mailbox, and a shop that accepts the API's access tokens."""

    api: httpx.Client
    inbox: Inbox
    shop: httpx.Client

    def post(self, path: str, expected: int, body: dict[str, Any]) -> Any:
        response = self.api.post(path, json=body)
        assert response.status_code == expected, response.text
        return response.json() if response.content else None

    def register(self, password: str) -> Tokens:
        tokens: Tokens = self.post("/v1/registrations", 202, {"email": ADA, "password": password})
        return tokens

    def sign_in(self, password: str, expected: int = 201) -> Tokens:
        tokens: Tokens = self.post("/v1/sessions", expected, {"email": ADA, "password": password})
        return tokens

    def refresh(self, tokens: Tokens, expected: int = 200) -> Tokens:
        refreshed: Tokens = self.post("/v1/sessions/refresh", expected, {"refresh_token": tokens["refresh_token"]})
        return refreshed

    def me(self, tokens: Tokens) -> httpx.Response:
        return self.api.get("/v1/me", headers=bearing(tokens))

    def can_read_and_order(self, tokens: Tokens) -> tuple[int, int]:
        """Return the shop's statuses."""
        read, ordered = (
            self.shop.request(method, path, headers=bearing(tokens))
            for method, path in (("GET", "/catalogue"), ("POST", "/orders"))
        )
        return read.status_code, ordered.status_code


def bearing(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@contextmanager
def running_shop(folder: Path, keys_url: str) -> Iterator[str]:
    """Run the resource server of the guide."""
    [code] = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (folder / "shop.py").write_text(code)
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "shop", "run", "--host", LOOPBACK, "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "SIGNPOST_URL": PUBLIC_URL, "SIGNPOST_KEYS": keys_url}
    with (
        (folder / "shop.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            eventually(lambda: responds(f"http://{LOOPBACK}:{port}"))
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.kill()


def responds(url: str) -> bool:
    with suppress(httpx.TransportError):
        return plain_http.get(url).status_code == 404
    return False


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path))
        api = ending.enter_context(running_api(database, UNCONFIRMED_ACCESS="limited", RESEND_COOLDOWN_SECONDS="0"))
        ending.enter_context(running_relay(database, EMAIL_PROVIDERS=inbox.email_provider))
        shop = ending.enter_context(running_shop(tmp_path, f"{api.base_url}/.well-known/jwks.json"))
        yield World(
            ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30)),
            inbox,
            ending.enter_context(httpx.Client(base_url=shop, timeout=30)),
        )


def test_a_person_uses_the_account_before_and_after_entering_the_code(world: World) -> None:
    registration = world.register(PASSWORD)
    assert world.me(registration).json()["is_email_verified"] is False
    assert world.can_read_and_order(registration) == (200, 403)
    assert world.can_read_and_order(world.sign_in(PASSWORD)) == (200, 403)
    limited = world.refresh(registration)
    assert world.can_read_and_order(limited) == (200, 403)
    assert world.api.delete("/v1/me", headers=bearing(limited)).json()["code"] == "account_not_activated"

    code = world.inbox.wait_for(ADA, 1)[0].code
    full = world.post("/v1/activations", 200, {"registration_id": registration["id"], "code": code})

    assert world.can_read_and_order(full) == (200, 201)
    assert world.me(full).json()["id"] == registration["id"]
    assert world.me(limited).status_code == 401
    world.refresh(limited, 401)
    assert world.can_read_and_order(world.refresh(full)) == (200, 201)
    assert world.can_read_and_order(world.sign_in(PASSWORD)) == (200, 201)


def test_the_shop_accepts_only_tokens_of_the_api(world: World) -> None:
    token = world.register(PASSWORD)["access_token"]
    header, payload, signature = token.split(".")
    forged = jwt.encode(
        {**jwt.decode(token, options={"verify_signature": False}), "email_verified": True},
        "a secret of thirty-two characters",
        algorithm="HS256",
        headers=jwt.get_unverified_header(token) | {"alg": "HS256"},
    )
    _, claims, _ = forged.split(".")

    for other in ("x", f"{header}.{claims}.{signature}", forged, f"{header}.{payload}."):
        assert world.can_read_and_order({"access_token": other}) == (401, 401), other


def test_a_stranger_who_registered_first_keeps_no_access_to_the_account(world: World) -> None:
    strangers = world.register(STRANGERS)
    strangers_mail = world.inbox.wait_for(ADA, 1)[0]
    registration = world.register(PASSWORD)
    owners_mail = world.inbox.wait_for(ADA, 2)[0]

    strangers_link = str(strangers_mail.link).partition("token=")[2]
    assert world.post("/v1/activations", 403, {"token": strangers_link})["code"] == "password_required"
    owners_link = str(owners_mail.link).partition("token=")[2]
    assert world.post("/v1/activations", 403, {"token": owners_link})["code"] == "password_required"
    world.post("/v1/activations", 200, {"token": owners_link, "password": PASSWORD})

    full = world.sign_in(PASSWORD)
    assert world.can_read_and_order(full) == (200, 201)
    assert world.me(full).json()["id"] == registration["id"]
    assert world.me(registration).status_code == 401
    still = world.refresh(strangers)
    assert world.me(still).json()["id"] == strangers["id"] != registration["id"]
    assert world.can_read_and_order(still) == (200, 403)
    world.post("/v1/activations", 400, {"token": strangers_link, "password": STRANGERS})
    world.post("/v1/activations", 400, {"registration_id": strangers["id"], "code": strangers_mail.code})
    world.sign_in(STRANGERS, 401)
