"""Changes of credentials are limited, because each notifies all addresses, also by SMS."""

from collections.abc import Iterator

import pytest

from tests.support.accounts import (
    ADA,
    NEW_PASSWORD,
    NUMBER,
    Account,
    ask_for_reset,
    confirm_reset,
    is_password,
    newest_code,
    problem,
    signed_in,
    templates_sent_to,
)
from tests.support.api import PASSWORD, api_on, shared_api
from tests.support.databases import Database

LIMITED = (429, "too_many_requests")
KEY = {"Idempotency-Key": "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f"}
PATH = "/v1/me/password"


@pytest.fixture
def ada(database: Database) -> Iterator[Account]:
    """A user with a phone number and two changes per day."""
    with api_on(database, RATE_LIMITS="on", LIMIT_CHANGES_PER_USER="2/day") as api:
        user_id = api.activated(phone=NUMBER)
        response = api.client.post("/v1/sessions", json={"phone": NUMBER, "password": PASSWORD})
        yield Account(api, user_id, response.json["access_token"])


def change_password(account: Account, old: str, new: str) -> tuple[int, str]:
    response = account.post(PATH, old_password=old, new_password=new)
    return problem(response) if response.json else (response.status_code, "")


def test_a_change_beyond_the_limit_changes_nothing_and_sends_nothing(ada: Account) -> None:
    changes = [change_password(ada, *pair) for pair in ((PASSWORD, NEW_PASSWORD), (NEW_PASSWORD, PASSWORD))]

    refused = ada.post(PATH, old_password=PASSWORD, new_password=NEW_PASSWORD)

    assert changes == [(204, "")] * 2
    assert problem(refused) == LIMITED
    assert refused.json["limits"] == ["changes_per_user"]
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
    assert is_password(ada.api, PASSWORD)
    assert templates_sent_to(ada.api, ada.id).count("password_changed") == 2


def test_changes_are_limited_to_ten_a_day_by_default(database: Database) -> None:
    with shared_api(database, RATE_LIMITS="on") as api:
        account = Account(api, api.activated(email=ADA), signed_in(api))
        pairs = [(PASSWORD, NEW_PASSWORD), (NEW_PASSWORD, PASSWORD)] * 5
        assert [change_password(account, *pair) for pair in pairs] == [(204, "")] * 10
        assert change_password(account, PASSWORD, NEW_PASSWORD) == LIMITED


def test_a_changed_address_counts_like_a_changed_password(ada: Account) -> None:
    changes = []
    for number in range(3):
        assert ada.post("/v1/me/email", email=f"ada{number}@example.org", password=PASSWORD).status_code == 202
        changes.append(ada.post("/v1/me/email/confirm", code=newest_code(ada.api, "address_change")))

    assert [response.status_code for response in changes] == [204, 204, 429]
    assert ada.api.user(ada.id).email == "ada1@example.org"
    # The rejected request did not use up the correct code.
    newest = "select attempts_left, used_at from tokens where purpose = 'address_change' order by created_at desc"
    assert tuple(ada.api.rows(newest)[0]) == (5, None)
    assert change_password(ada, PASSWORD, NEW_PASSWORD) == LIMITED


def test_a_change_that_fails_does_not_count(ada: Account) -> None:
    assert change_password(ada, "a wrong password", NEW_PASSWORD) == (403, "wrong_password")
    assert change_password(ada, PASSWORD, NUMBER) == (422, "validation_failed")
    for _ in range(3):
        assert ada.post("/v1/me/email/confirm", code="000000").json["code"] == "invalid_or_expired"
    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    repeated = [ada.api.client.post(PATH, json=body, headers=ada.headers | KEY).status_code for _ in range(3)]

    assert repeated == [204] * 3
    assert change_password(ada, NEW_PASSWORD, PASSWORD) == (204, "")


def test_used_up_changes_do_not_block_a_reset(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_CHANGES_PER_USER="1/day") as api:
        thief = Account(api, api.activated(email=ADA), signed_in(api))
        assert change_password(thief, PASSWORD, "what a thief would take") == (204, "")
        ask_for_reset(api)
        assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204
        assert is_password(api, NEW_PASSWORD)
