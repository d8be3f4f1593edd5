"""Our e-mail requests against Prism with the providers' OpenAPI documents: valid, and refused as documented."""

from collections.abc import Iterator

import pytest

from outbox_relay.model import Failure, FailureClass, Sent
from tests.support.email_apis import EMAIL_APIS, a_mail, deliver
from tests.support.http_gateway import HttpGateway
from tests.support.prism import Prism, prism

pytestmark = pytest.mark.anyio

REFUSALS = {
    "sendgrid": {401: FailureClass.PROVIDER, 403: FailureClass.PROVIDER, 413: FailureClass.CONTENT},
    "postmark": {422: FailureClass.PROVIDER},
}
BROKEN = 500


@pytest.fixture(scope="module")
def mocks() -> Iterator[dict[str, Prism]]:
    with prism("sendgrid.com.json", "/v3") as sendgrid, prism("postmarkapp.com/server.json") as postmark:
        yield {"sendgrid": sendgrid, "postmark": postmark}


async def result_of(name: str, mock: Prism, code: int | None = None) -> Sent | Failure:
    mock.code = code
    mail = a_mail()
    async with HttpGateway(mock.respond) as gateway:
        source = await deliver(EMAIL_APIS[name].provider(gateway.port), mail)
    return source.result(mail)


@pytest.mark.parametrize("name", REFUSALS)
async def test_the_document_allows_our_request(name: str, mocks: dict[str, Prism]) -> None:
    assert isinstance(await result_of(name, mocks[name]), Sent)


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in REFUSALS.items() for code in codes])
async def test_a_documented_refusal_has_its_class(name: str, code: int, mocks: dict[str, Prism]) -> None:
    result = await result_of(name, mocks[name], code)
    assert isinstance(result, Failure)
    assert result.kind is REFUSALS[name][code], result


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_broken_provider_gets_the_message_again(name: str, mocks: dict[str, Prism]) -> None:
    result = await result_of(name, mocks[name], BROKEN)
    assert isinstance(result, Failure)
    assert result.kind not in {FailureClass.CONTENT, FailureClass.RECIPIENT}, result
