"""Amazon SNS: the receiver accepts signed messages of allowed topics, and sends requests to no other host."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from receiver.callbacks.mail.ses import Ses
from receiver.callbacks.mail.signatures import LONGEST_AGE_SECONDS, Received
from receiver.callbacks.mail.sns import LONGEST_REPEATED_SECONDS, LONGEST_RESPONSE_BYTES, Sns
from receiver.callbacks.problems import (
    SnsUnavailableError,
    StaleSignatureError,
    WrongSignatureError,
    WrongTopicError,
)
from tests.support.certificates import Authority, make_authority
from tests.support.sns import CERTIFICATE_URL, SNS_HOST, TOKEN, TOPIC, LocalSns, Signer, local_sns

NOTICE = "Successfully validated SNS topic for Amazon SES event publishing."
OTHER_TOPIC = "arn:aws:sns:eu-west-1:999999999999:ses-events"
FILE = CERTIFICATE_URL.rpartition("/")[2]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("sns"))


@pytest.fixture
def sns(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSns]:
    with local_sns(authority) as sns:
        for name, value in sns.environment.items():
            monkeypatch.setenv(name, value)
            monkeypatch.delenv(name.lower(), raising=False)
        yield sns


def check(message: dict[str, Any], after_seconds: float = 0) -> str:
    return Sns({TOPIC: SNS_HOST}).check(message, time.time() + after_seconds)


def test_the_certificate_is_fetched_once_from_the_topics_region(sns: LocalSns) -> None:
    client = Sns({TOPIC: SNS_HOST})
    for message in (sns.signer.notification(NOTICE), sns.signer.notification(NOTICE, Subject="with a subject")):
        assert client.check(message, time.time()) == TOPIC
    assert sns.connected_to == [f"{SNS_HOST}:443"]
    assert sns.requests == [f"/{FILE}"]


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.example/{FILE}",
        f"https://{SNS_HOST}.evil.example/{FILE}",
        f"https://sns.us-east-1.amazonaws.com/{FILE}",
        f"https://evil.amazonaws.com/{FILE}",
        f"https://{SNS_HOST}@evil.example/{FILE}",
        f"https://{SNS_HOST}:8443/{FILE}",
        f"http://{SNS_HOST}/{FILE}",
        f"https://{SNS_HOST}/other/{FILE}",
        f"https://{SNS_HOST}/{FILE}?file=other",
        f"https://{SNS_HOST}/{FILE}\n",
        f"https://{SNS_HOST}/?Action=Publish&Message=.pem",
        "https://169.254.169.254/latest/meta-data/",
        "",
    ],
)
def test_a_certificate_at_another_address_is_refused_and_not_fetched(sns: LocalSns, url: str) -> None:
    with pytest.raises(WrongSignatureError):
        check(sns.signer.notification(NOTICE, SigningCertURL=url))
    assert sns.connected_to == []


def test_a_valid_signature_of_another_accounts_topic_is_refused_and_nothing_is_fetched(sns: LocalSns) -> None:
    for message in (
        sns.signer.notification(NOTICE, TopicArn=OTHER_TOPIC),
        sns.signer.confirmation(TopicArn=OTHER_TOPIC),
    ):
        with pytest.raises(WrongTopicError):
            check(message)
    assert sns.connected_to == []


@pytest.mark.parametrize(
    "changed",
    [
        {"SignatureVersion": "1"},
        {"Timestamp": "yesterday"},
        {"Type": "Other"},
        {"MessageId": None},
        {"Subject": 7},
        {"SignatureVersion": 2},
    ],
)
def test_a_message_of_another_form_is_refused_and_nothing_is_fetched(sns: LocalSns, changed: dict[str, Any]) -> None:
    # Version 1 is SHA-1.
    with pytest.raises(WrongSignatureError):
        check(sns.signer.notification(NOTICE, **changed))
    with pytest.raises(WrongSignatureError):
        check({name: value for name, value in sns.signer.notification(NOTICE).items() if name not in changed} | changed)
    assert sns.connected_to == []


def test_a_message_may_be_repeated_for_an_hour(sns: LocalSns) -> None:
    message = sns.signer.notification(NOTICE)
    for seconds in (LONGEST_REPEATED_SECONDS - 10, -LONGEST_AGE_SECONDS + 10):
        assert check(message, seconds) == TOPIC
    sns.connected_to.clear()
    for seconds in (LONGEST_REPEATED_SECONDS + 10, -LONGEST_AGE_SECONDS - 10):
        with pytest.raises(StaleSignatureError):
            check(message, seconds)
    assert sns.connected_to == []


@pytest.mark.parametrize("field", ["Message", "MessageId", "Timestamp", "Subject"])
def test_a_changed_field_is_refused(sns: LocalSns, field: str) -> None:
    later = sns.signer.notification(NOTICE, Subject="s", Timestamp="2026-01-01T00:00:00.000Z")
    message = sns.signer.notification(NOTICE, Subject="s")
    with pytest.raises(WrongSignatureError):
        check(message | {field: later[field] if field == "Timestamp" else "changed"})


def test_another_key_is_refused(sns: LocalSns) -> None:
    for signature in (Signer().notification(NOTICE)["Signature"], "", "é", "not base64"):
        with pytest.raises(WrongSignatureError):
            check(sns.signer.notification(NOTICE) | {"Signature": signature})


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"status": 302, "headers": {"Location": f"https://evil.example/{FILE}"}}, SnsUnavailableError),
        ({"status": 301, "headers": {"Location": "http://169.254.169.254/"}}, SnsUnavailableError),
        ({"status": 302, "headers": {"Location": "https://[/"}}, SnsUnavailableError),
        ({"status": 500}, SnsUnavailableError),
        ({"status": 404}, WrongSignatureError),
        ({"body": b"-" * (LONGEST_RESPONSE_BYTES + 1)}, SnsUnavailableError),
        ({"body": b"no certificate"}, WrongSignatureError),
        ({"body": Signer(days=1).certificate}, WrongSignatureError),
    ],
)
def test_a_fetch_that_does_not_return_a_certificate_is_refused_and_no_redirect_followed(
    sns: LocalSns, reply: dict[str, Any], error: type[Exception]
) -> None:
    for name, value in reply.items():
        setattr(sns, name, value)
    with pytest.raises(error):
        check(sns.signer.notification(NOTICE))
    assert sns.connected_to == [f"{SNS_HOST}:443"]


def test_an_expired_certificate_is_refused(sns: LocalSns) -> None:
    expired = Signer(days=1)
    sns.body = expired.certificate
    with pytest.raises(WrongSignatureError):
        check(expired.notification(NOTICE))


def test_a_server_that_tls_does_not_authenticate_is_refused(sns: LocalSns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SnsUnavailableError):
        check(sns.signer.notification(NOTICE))
    assert sns.requests == []


def test_while_a_certificate_is_fetched_no_other_request_waits(sns: LocalSns) -> None:
    client, sns.holds = Sns({TOPIC: SNS_HOST}), threading.Event()
    message = sns.signer.notification(NOTICE)
    results: list[str] = []
    first = threading.Thread(target=lambda: results.append(client.check(message, time.time())))
    first.start()
    while not sns.requests:
        first.join(0.01)
    with pytest.raises(SnsUnavailableError):
        client.check(message, time.time())
    sns.holds.set()
    first.join()
    assert results == [TOPIC]


def test_a_subscription_is_confirmed_at_the_topics_region_whatever_its_url(sns: LocalSns) -> None:
    message = sns.signer.confirmation(SubscribeURL="http://169.254.169.254/latest/meta-data/")
    assert read(message) == []
    assert sns.confirmed() == [{"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": TOKEN}]
    assert set(sns.connected_to) == {f"{SNS_HOST}:443"}


def test_a_subscription_that_cannot_be_confirmed_is_not_acknowledged(sns: LocalSns) -> None:
    sns.confirming = 500
    with pytest.raises(SnsUnavailableError):
        read(sns.signer.confirmation())


def test_the_end_of_a_subscription_changes_nothing(sns: LocalSns) -> None:
    assert read(sns.signer.confirmation("UnsubscribeConfirmation")) == []
    assert sns.confirmed() == []


def read(message: dict[str, Any]) -> list[Any]:
    return list(Ses({TOPIC: SNS_HOST}).read(Received(json.dumps(message).encode(), {}, time.time())))
