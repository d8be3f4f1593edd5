import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database

EVERYTHING = {"email": "Ada.L@Example.ORG", "phone": "+33 6 12 34 56 78", "full_name": " Ada L. ", "locale": "fr"}


def test_a_registration_is_a_user_a_token_and_a_message(api: ApiUnderTest) -> None:
    registration_id = api.registered(**EVERYTHING)

    assert api.count_rows() == (1, 1, 1)
    user, [token], [message] = api.user(registration_id), api.tokens(registration_id), api.messages(registration_id)
    assert (user.status, user.email, user.email_canonical) == ("pending", "Ada.L@example.org", "ada.l@example.org")
    assert (user.phone, user.full_name, user.locale) == ("+33612345678", "Ada L.", "fr")
    assert (user.email_verified_at, user.phone_verified_at, user.activated_at) == (None, None, None)
    assert (token.purpose, token.channel, token.key_id, token.attempts_left) == ("activation", "email", "test", 5)
    assert (token.expires_at - token.created_at).total_seconds() == 86_400
    assert (message.template, message.channel, message.recipient) == ("activation", "email", "Ada.L@example.org")
    assert (message.status, message.locale, message.token_id) == ("pending", "fr", token.id)
    assert message.priority == "high"
    assert message.payload == {"name": "Ada L.", "key_id": "test"}
    assert message.expires_at == token.expires_at


def test_a_unicode_address_is_stored_in_one_normal_form(api: ApiUnderTest) -> None:
    first = api.registered(email="Zoe\N{COMBINING DIAERESIS}@B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example")
    second = api.registered(email="zo\N{LATIN SMALL LETTER E WITH DIAERESIS}@xn--bcher-kva.example")

    [message] = api.messages(first)
    assert message.recipient == "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}@xn--bcher-kva.example"
    assert api.user(first).email_canonical == api.user(second).email_canonical


def test_a_response_contains_the_registration_and_its_location(api: ApiUnderTest) -> None:
    response = api.register(email="ada@example.org")

    registration = response.json
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/registrations/{registration['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert UUID(registration["id"]).version == 4
    assert registration["destination"] == "a…@example.org"
    assert (registration["status"], registration["channel"]) == ("pending", "email")
    assert registration["email_confirmation_sent"] is False
    assert {name: registration["delivery"][name] for name in ("status", "attempts", "problem")} == {
        "status": "pending",
        "attempts": 0,
        "problem": None,
    }
    assert api.client.get(response.headers["Location"]).json == registration


@pytest.mark.parametrize(
    ("body", "channel", "lifetime_seconds"),
    [
        ({"email": "ada@example.org"}, "email", 86_400),
        ({"phone": "+33612345678"}, "sms", 600),
        ({"email": "ada@example.org", "phone": "+33612345678"}, "email", 86_400),
        ({"email": "ada@example.org", "phone": "+33612345678", "channel": "sms"}, "sms", 600),
    ],
)
def test_the_message_uses_the_chosen_channel_or_mail(
    api: ApiUnderTest, body: dict[str, Any], channel: str, lifetime_seconds: int
) -> None:
    registration_id = api.registered(**body)

    [token], [message] = api.tokens(registration_id), api.messages(registration_id)
    assert (token.channel, message.channel) == (channel, channel)
    assert (token.expires_at - token.created_at).total_seconds() == lifetime_seconds
    assert message.recipient == (body["phone"] if channel == "sms" else body["email"])


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [("fr-CA,fr;q=0.9,en;q=0.5", "fr"), ("de, fr;q=0.2", "fr"), ("de", "en"), ("", "en"), ("\xff;q=x,,", "en")],
)
def test_without_a_locale_the_client_s_languages_decide(api: ApiUnderTest, accepted: str, locale: str) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    response = api.client.post("/v1/registrations", json=body, headers={"Accept-Language": accepted})

    assert api.user(response.json["id"]).locale == locale


def test_the_password_is_stored_as_argon2id_of_its_normalized_form(api: ApiUnderTest) -> None:
    composed, decomposed = "caf\u00e9 caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301 cafe\u0301"
    password_hash = api.user(api.registered(password=decomposed)).password_hash

    assert extract_parameters(password_hash).type is Type.ID
    assert PasswordHasher().verify(password_hash, composed)


def test_a_taken_address_responds_like_a_new_one(api: ApiUnderTest) -> None:
    api.activated(email="taken@example.org")

    new, taken = api.register(email="newer@example.org"), api.register(email="TAKEN@example.org")

    assert taken.status_code == new.status_code == 202
    assert list(taken.headers.keys()) == list(new.headers.keys())
    assert shape(taken.json) == shape(new.json)
    assert len(taken.text) == len(new.text)
    [token], [message] = api.tokens(taken.json["id"]), api.messages(taken.json["id"])
    assert (token.purpose, message.template) == ("decoy", "account_exists")
    assert api.messages(new.json["id"])[0].template == "activation"


def test_messages_to_taken_and_new_addresses_have_the_same_priority(api: ApiUnderTest) -> None:
    api.activated(email="taken@example.org")

    priorities = {api.messages(api.registered(email=f"{name}@example.org"))[0].priority for name in ("taken", "newer")}

    assert priorities == {"high"}


def test_only_the_chosen_address_decides_whether_it_is_taken(api: ApiUnderTest) -> None:
    api.activated(email="ada@example.org", phone="+33612345678")

    by_phone = api.registered(email="ada@example.org", phone="+33612345678", channel="sms")
    by_email = api.registered(email="ada@example.org", phone="+33612345678")

    assert api.messages(by_phone)[0].template == "activation"
    assert api.messages(by_email)[0].template == "account_exists"


def test_twenty_concurrent_registrations_of_one_address_all_succeed(database: Database) -> None:
    def register(_number: int) -> int:
        body = {"email": "ada@example.org", "password": PASSWORD}
        return api.app.test_client().post("/v1/registrations", json=body).status_code

    with api_on(database, API_THREADS="64") as api, ThreadPoolExecutor(20) as crowd:
        statuses = list(crowd.map(register, range(20)))

        assert statuses == [202] * 20
        assert api.count_rows() == (20, 20, 20)


def test_no_row_contains_the_password_or_the_code(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    everything = str([api.user(registration_id), api.tokens(registration_id), api.messages(registration_id)])
    assert PASSWORD not in everything
    assert not re.search(rf"(?<!\d){api.code(registration_id)}(?!\d)", everything)
    assert api.link_token(registration_id) not in everything


def shape(document: Any) -> Any:
    """Return a document's names and types, without its values."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    return type(document)


@pytest.mark.parametrize(
    "name",
    [
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
        "\u0d36\u0d4d\u0d30\u0d40\u0d1c\u0d3f\u0d24\u0d4d\u200d \u0d2e\u0d47\u0d28\u0d4b\u0d7b",
        "Zo\u0308e \u674e O'Neil-\u00df",
    ],
)
def test_names_are_stored_as_people_write_them(api: ApiUnderTest, name: str) -> None:
    assert api.user(api.registered(full_name=name)).full_name == name
