"""E-mail providers with an HTTP API: requests, refusals and broken connections, for each provider."""

import asyncio
import base64
import json
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from outbox_relay.model import FailureClass, Sent
from tests.support.email_apis import CLASSES, EMAIL_APIS, RETRY_SECONDS, Case, EmailApi, a_mail, deliver, form_of
from tests.support.http_gateway import HttpGateway, Reply, Request, Silence, answer
from tests.support.listening import connections_completed, listening
from tests.support.rendered_messages import ListSource

pytestmark = pytest.mark.anyio


@pytest.fixture(params=EMAIL_APIS)
def api(request: pytest.FixtureRequest) -> EmailApi:
    return EMAIL_APIS[request.param]


def submitted_mail(name: str, request: Request) -> bytes:
    """Return the raw mail in a request of a provider that takes it."""
    match name:
        case "https+mime":
            return request.content
        case "ses":
            return base64.b64decode(request.body["Content"]["Raw"]["Data"])
        case _:
            return form_of(request)["message"]


async def test_a_provider_accepts_a_mail_and_its_id_is_stored(api: EmailApi) -> None:
    mail = a_mail()
    async with HttpGateway(api.accepted) as gateway:
        provider = api.provider(gateway.port)
        source = await deliver(provider, mail)
    assert source.result(mail) == Sent(provider.name, api.message_id)
    assert (len(gateway.requests), str(mail.message.id) in str(gateway.requests[0])) == (1, True)


@pytest.mark.parametrize("name", [name for name, api in EMAIL_APIS.items() if api.takes_mime])
async def test_raw_mime_arrives_byte_by_byte(name: str) -> None:
    mail = a_mail()
    async with HttpGateway(EMAIL_APIS[name].accepted) as gateway:
        await deliver(EMAIL_APIS[name].provider(gateway.port), mail)
    assert submitted_mail(name, gateway.requests[0]) == mail.content


KEPT_HEADERS = {"Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language"}


def submitted_parts(name: str, body: dict[str, Any]) -> tuple[list[str], str, object, dict[str, str]]:
    """Return texts, subject, sender and headers from a request of a provider that composes the mail itself."""
    match name:
        case "brevo":
            texts = [body["textContent"], body["htmlContent"]]
            return texts, body["subject"], body["sender"], body["headers"]
        case "postmark":
            headers = {header["Name"]: header["Value"] for header in body["Headers"]}
            return [body["TextBody"], body["HtmlBody"]], body["Subject"], body["From"], headers
        case "sendgrid":
            texts = [part["value"] for part in body["content"]]
            return texts, body["subject"], body["from"], body["headers"]
        case _:
            return [body["text"], body["html"]], body["subject"], body["from"], body["headers"]


@pytest.mark.parametrize("name", [name for name, api in EMAIL_APIS.items() if not api.takes_mime])
async def test_a_provider_without_mime_gets_the_parts_of_the_mail(name: str) -> None:
    mail = a_mail("zoë@example.org")
    parsed = message_from_bytes(mail.content, policy=default)
    async with HttpGateway(EMAIL_APIS[name].accepted) as gateway:
        await deliver(EMAIL_APIS[name].provider(gateway.port), mail)
    body = gateway.requests[0].body
    texts, subject, sender, headers = submitted_parts(name, body)
    assert texts == [part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts()]  # type: ignore[attr-defined]
    assert subject == parsed["Subject"]
    assert sender in (str(parsed["From"]), {"email": "no-reply@signpost.example", "name": "Signpost"})
    assert "zoë@example.org" in json.dumps(body, ensure_ascii=False)
    kept = KEPT_HEADERS - {"Message-ID"} if name == "brevo" else KEPT_HEADERS
    own = {"brevo": {"X-Mailin-custom"}, "postmark": {"X-PM-KeepID"}}.get(name, set())
    assert headers.keys() == kept | own
    assert all(headers[field] == parsed[field] for field in kept)


@pytest.mark.parametrize("case", Case)
async def test_a_documented_refusal_has_its_class_and_its_meaning(api: EmailApi, case: Case) -> None:
    mail = a_mail()
    async with HttpGateway(api.refusals[case]) as gateway:
        source = await deliver(api.provider(gateway.port), mail)
    failure = source.failure(mail)
    documented = {rule.meaning for rule in api.rules[:-1]}
    assert (failure.kind, failure.maybe_accepted) == (CLASSES[case], False)
    assert any(failure.error.partition(" ")[2].partition(" ")[2].startswith(meaning) for meaning in documented)
    assert failure.retry_after == (timedelta(seconds=RETRY_SECONDS) if case is Case.RATE_LIMITED else None)
    if case in (Case.WRONG_KEY, Case.UNVERIFIED_SENDER, Case.RATE_LIMITED):
        assert not failure.is_about_message


async def test_a_refusal_that_quotes_the_request_shows_no_secret(api: EmailApi) -> None:
    mail, quoted = a_mail(), []

    def quote(request: Request) -> bytes:
        secrets = {"authorization", "x-postmark-server-token", "api-key"} & request.headers.keys()
        quoted.extend(request.headers[name].rpartition(" ")[2] for name in secrets)
        return answer(400, " ".join(["You sent", *quoted]).encode())

    async with HttpGateway(quote) as gateway:
        failure = (await deliver(api.provider(gateway.port), mail)).failure(mail)
    assert quoted
    assert "You sent …" in failure.error
    assert not [secret for secret in quoted if secret in failure.error]


async def test_an_unknown_refusal_is_the_providers_until_it_accepts_other_mails(api: EmailApi) -> None:
    mail = a_mail()
    async with HttpGateway(answer(418, b"{}")) as gateway:
        failure = (await deliver(api.provider(gateway.port), mail)).failure(mail)
    assert (failure.kind, failure.is_about_message) == (FailureClass.PROVIDER, True)


@pytest.mark.parametrize(
    ("reply", "kind", "maybe_accepted"),
    [
        (answer(200, b"<html>Welcome</html>"), FailureClass.PROVIDER, False),
        (answer(200, b'{"message": "failed"}'), FailureClass.TRANSIENT, True),
        (answer(200), FailureClass.TRANSIENT, True),
    ],
)
@pytest.mark.parametrize("name", [name for name in EMAIL_APIS if name != "https+mime"])
async def test_a_success_without_a_message_id_is_no_acceptance(
    name: str, reply: bytes, kind: FailureClass, *, maybe_accepted: bool
) -> None:
    mail = a_mail()
    async with HttpGateway(reply) as gateway:
        failure = (await deliver(EMAIL_APIS[name].provider(gateway.port), mail)).failure(mail)
    assert (failure.kind, failure.maybe_accepted) == (kind, maybe_accepted)


async def outcomes(reply: Reply, *, seconds: float, scheme: str = "http") -> set[tuple[FailureClass, bool]]:
    """Return how a mail fares with each provider, if its server gives that reply: its failure class and phase."""
    mail = a_mail()
    async with HttpGateway(reply) as gateway:
        apis = EMAIL_APIS.values()
        # The clock of a message must not run while trusted authorities are loaded for the other providers.
        providers = [api.provider(gateway.port, seconds=seconds, scheme=scheme) for api in apis]
        sources = await asyncio.gather(*(deliver(provider, mail) for provider in providers))
    failures = [source.failure(mail) for source in sources]
    return {(failure.kind, failure.maybe_accepted) for failure in failures}


async def test_a_server_that_never_completes_tls_gets_no_mail() -> None:
    assert await outcomes(b"", seconds=0.5, scheme="https") == {(FailureClass.PROVIDER, False)}


async def test_a_server_that_does_not_respond_may_have_accepted_the_mail() -> None:
    assert await outcomes(Silence.HANG, seconds=1.5) == {(FailureClass.TRANSIENT, True)}


async def test_a_server_that_disconnects_after_the_body_may_have_accepted_the_mail() -> None:
    assert await outcomes(Silence.CLOSE, seconds=10) == {(FailureClass.TRANSIENT, True)}


async def test_a_response_before_the_request_accepts_no_mail() -> None:
    api = EMAIL_APIS["mailgun"]
    first, second = a_mail(), a_mail()
    source = ListSource([first])
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"=_form--\r\n")
        writer.write(api.accepted if len(writers) == 1 else answer(503))
        await reader.read()

    async with listening(serve) as port:
        session = api.provider(port).session()
        await session.deliver(source)
        writers[0].write(api.accepted)
        await connections_completed()
        source.waiting.append(second)
        await session.deliver(source)
        await session.close()
    assert isinstance(source.result(first), Sent)
    assert source.failure(second).kind is FailureClass.PROVIDER


@pytest.mark.parametrize("announced", [True, False])
async def test_a_connection_that_the_server_closed_while_idle_is_replaced(api: EmailApi, *, announced: bool) -> None:
    first, second = a_mail(), a_mail()
    source = ListSource([first])
    closing = api.accepted.replace(b"Content-Length", b"Connection: close\r\nContent-Length", 1)
    async with HttpGateway(closing if announced else api.accepted, hangs_up=not announced) as gateway:
        session = api.provider(gateway.port).session()
        await session.deliver(source)
        await connections_completed()
        source.waiting.append(second)
        await session.deliver(source)
        await session.close()
        assert gateway.connections == 2
    assert all(isinstance(source.result(mail), Sent) for mail in (first, second))
