"""The providers' official libraries, as a check of our requests and of the responses that our tests give."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from outbox_relay.channels.http.email_api import parts_of
from outbox_relay.model import RenderedMessage, Sent
from tests.support.email_apis import EMAIL_APIS, Case, a_mail, deliver, form_of
from tests.support.http_gateway import HttpGateway, Request

pytestmark = pytest.mark.anyio

SCRIPT = Path(__file__).parents[1] / "support" / "email_sdks.js"
MODULES = Path(__file__).parents[2] / ".venv" / "node_modules"
PACKAGES = {
    "brevo": "@getbrevo/brevo",
    "mailgun": "mailgun.js",
    "postmark": "postmark",
    "resend": "resend",
    "sendgrid": "@sendgrid/mail",
}
KEYS = {
    "brevo": "xkeysib-1",
    "mailgun": "key-1",
    "postmark": "token-1",
    "resend": "re_1",
    "sendgrid": "SG.a.b",
}
HEADERS = ("authorization", "api-key", "idempotency-key", "x-postmark-server-token")
REFUSED = (Case.WRONG_KEY, Case.UNVERIFIED_SENDER, Case.INVALID_RECIPIENT)


@dataclass(frozen=True)
class Shape:
    """The parts of a request that must be equal in the relay and in a library."""

    line: str
    headers: dict[str, str]
    content: dict[str, Any]


def shape_of(request: Request) -> Shape:
    is_form = request.headers["content-type"].startswith("multipart/form-data")
    return Shape(
        request.line,
        {name: request.headers[name] for name in HEADERS if name in request.headers},
        form_of(request) if is_form else request.body,
    )


async def sent_by_library(
    name: str, port: int, mail: RenderedMessage, times: int, like: Shape | None = None
) -> list[Any]:
    """Return the results of a library: the id that it found, or status, code and text of the refusal.

    The mail has the headers and the idempotency key of ``like``.
    """
    node = shutil.which("node")
    if node is None or not (MODULES / PACKAGES[name]).is_dir():
        pytest.skip(f"this machine has no node, or not its package {PACKAGES[name]}: make interop installs it")
    parts = parts_of(mail.content)
    described = {
        "id": str(mail.message.id),
        "from": {"email": parts.sender, "name": parts.sender_name},
        "to": mail.message.recipient,
        "subject": parts.subject,
        "text": parts.text,
        "html": parts.html,
        "headers": headers_in(like.content) if like else {},
        "idempotencyKey": like.headers.get("idempotency-key", "missing") if like else "any",
        "mime": mail.content.decode(),
    }
    process = await asyncio.create_subprocess_exec(
        *(node, SCRIPT, name, f"http://127.0.0.1:{port}", KEYS[name], str(times)),
        env={"NODE_PATH": str(MODULES), "PATH": os.environ["PATH"]},
        stdin=PIPE,
        stdout=PIPE,
    )
    output, _ = await process.communicate(json.dumps(described).encode())
    return [json.loads(line) for line in output.splitlines()]


def headers_in(content: dict[str, Any]) -> dict[str, str]:
    headers = content.get("headers") or content.get("Headers") or {}
    return {header["Name"]: header["Value"] for header in headers} if isinstance(headers, list) else headers


@pytest.mark.parametrize("name", PACKAGES)
async def test_the_relay_sends_the_request_of_the_official_library(name: str) -> None:
    mail = a_mail()
    async with HttpGateway(EMAIL_APIS[name].accepted) as gateway:
        await deliver(EMAIL_APIS[name].provider(gateway.port), mail)
        ours = shape_of(gateway.requests[0])
        await sent_by_library(name, gateway.port, mail, times=1, like=ours)
        assert ours == shape_of(gateway.requests[1])


@pytest.mark.parametrize("name", PACKAGES)
async def test_the_official_library_and_the_relay_read_the_same_in_a_response(name: str) -> None:
    api, mail = EMAIL_APIS[name], a_mail()
    replies = [api.accepted, *(api.refusals[case] for case in REFUSED)]

    def next_reply(_request: Request) -> bytes:
        return replies[(len(gateway.requests) - 1) % len(replies)]

    async with HttpGateway(next_reply) as gateway:
        results = [(await deliver(api.provider(gateway.port), mail)).result(mail) for _ in replies]
        accepted, *refused = await sent_by_library(name, gateway.port, mail, times=len(replies))
    assert isinstance(results[0], Sent)
    assert results[0].provider_message_id == accepted["id"]
    for result, found in zip(results[1:], refused, strict=True):
        status, code, text = found["refusal"]
        assert not isinstance(result, Sent)
        assert result.error.startswith(f"HTTP {status} ")
        assert result.error.endswith(": ".join(filter(None, (str(code), text))))
