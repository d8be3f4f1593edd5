"""Amazon SES as moto imitates it: moto verifies signatures with AWS's own library, botocore."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_string, policy
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from devstack.ports import free_port
from outbox_relay.model import FailureClass, Sent
from tests.support import plain_http
from tests.support.email_apis import a_mail, deliver, provider_of
from tests.support.eventually import eventually

SERVER = Path(__file__).parents[2] / ".venv" / "moto" / "bin" / "moto_server"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ses:*", "Resource": "*"}]}'
SETUP_REQUESTS = 4
"""So many requests need no signature."""


@dataclass
class Moto:
    """The server, with one user that may send for signpost.example."""

    base_url: str
    key_id: str = field(init=False)
    secret: str = field(init=False)

    def set_up(self) -> None:
        self._iam("CreateUser", UserName="relay")
        answer = self._iam("CreateAccessKey", UserName="relay")
        [self.key_id] = re.findall("<AccessKeyId>(.+?)<", answer)
        [self.secret] = re.findall("<SecretAccessKey>(.+?)<", answer)
        self._iam("PutUserPolicy", UserName="relay", PolicyName="send", PolicyDocument=POLICY)
        self._post("/v2/email/identities", "ses", json={"EmailIdentity": "signpost.example"})

    def url(self, key: str) -> str:
        return f"ses://{quote(key, safe=':')}@email.eu-west-1.amazonaws.com?endpoint={self.base_url}"

    def mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = plain_http.get(f"{self.base_url}/moto-api/data.json").json()["ses"]["RawMessage"]
        return found

    def _iam(self, action: str, **parameters: str) -> str:
        return self._post("/", "iam", data={"Action": action, "Version": "2010-05-08", **parameters})

    def _post(self, path: str, service: str, **body: Any) -> str:
        scope = f"Credential=x/20260101/eu-west-1/{service}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        return plain_http.post(f"{self.base_url}{path}", headers=headers, **body).raise_for_status().text


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    if not SERVER.exists():
        pytest.skip("moto is not installed: make interop installs it")
    port = free_port()
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(SETUP_REQUESTS)}
    with subprocess.Popen(
        [SERVER, "-p", str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        moto = Moto(f"http://127.0.0.1:{port}")
        eventually(lambda: is_up(moto), seconds=30)
        moto.set_up()
        yield moto
        process.kill()


def is_up(moto: Moto) -> bool:
    with suppress(httpx.TransportError):
        return plain_http.get(f"{moto.base_url}/moto-api/").is_success
    return False


@pytest.mark.anyio
async def test_ses_accepts_a_signed_mail_as_it_was_rendered(moto: Moto) -> None:
    mail = a_mail()
    result = (await deliver(provider_of(moto.url(f"{moto.key_id}:{moto.secret}")), mail)).result(mail)
    [stored] = moto.mails()
    assert result == Sent(f"ses:{moto.base_url.removeprefix('http://')}", stored["id"])
    assert stored["raw_data"].encode() == mail.content
    assert message_from_string(stored["raw_data"], policy=policy.default)["To"] in stored["destinations"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("key", "code"), [("{id}:wrong", "SignatureDoesNotMatch"), ("AKIAWRONG:{secret}", "InvalidClientTokenId")]
)
async def test_a_wrong_key_is_the_providers_failure(moto: Moto, key: str, code: str) -> None:
    mail = a_mail()
    url = moto.url(key.format(id=moto.key_id, secret=moto.secret))
    failure = (await deliver(provider_of(url), mail)).failure(mail)
    assert (failure.kind, failure.is_about_message) == (FailureClass.PROVIDER, False)
    assert failure.error.startswith("HTTP 403")
    assert code in failure.error
