"""The state of a registration while its message falls back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.fallbacks import fall_back

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}
DEAD = (
    "update outbox_messages set status = 'dead', dead_reason = 'rejected', last_error_class = 'recipient',"
    " settled_at = now(), fallback_at = case when fallback_at is not null then now() end"
)
SENT = "update outbox_messages set status = 'sent', settled_at = now(), dead_reason = null"


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="sms") as api:
        yield api


def reported(api: ApiUnderTest, registration_id: Any) -> tuple[str, str, str]:
    response = api.look_up(registration_id).json
    return response["channel"], response["delivery"]["status"], response["destination"]


def refuse(api: ApiUnderTest, channel: str) -> None:
    """Settle the channel's message as rejected, as the relay does."""
    api.rows(f"{DEAD} where channel = %s", channel)


def test_a_rejected_message_is_pending_until_its_fallback_was_tried(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    refuse(api, "email")

    response = api.look_up(registration_id).json["delivery"]
    assert (response["status"], response["problem"], response["due_at"]) == ("pending", "address_rejected", None)

    fall_back(api.database)
    assert reported(api, registration_id) == ("sms", "pending", "+33…78")


def test_a_rejected_message_without_a_fallback_is_dead(api: ApiUnderTest) -> None:
    registration_id = api.registered(email="ada@example.org")
    refuse(api, "email")
    assert reported(api, registration_id)[1] == "dead"


def test_a_message_rejected_on_both_channels_is_dead(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    refuse(api, "email")
    fall_back(api.database)
    refuse(api, "sms")
    assert reported(api, registration_id)[:2] == ("email", "dead")


def test_a_dead_fallback_does_not_hide_the_first_message(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    api.rows("update outbox_messages set fallback_at = now()")
    fall_back(api.database)
    refuse(api, "sms")
    assert reported(api, registration_id) == ("email", "pending", "a…@example.org")


def test_a_waiting_request_sees_the_accepted_fallback(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    refuse(api, "email")
    fall_back(api.database)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            lambda: api.app.test_client().get(f"/v1/registrations/{registration_id}", headers={"Prefer": "wait=20"})
        )
        api.rows(f"{SENT} where channel = 'sms'")
        response = waiting.result(timeout=30)
    assert (response.json["channel"], response.json["delivery"]["status"]) == ("sms", "sent")
    assert response.json["email_confirmation_sent"] is False


def test_both_codes_work_after_a_fallback(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    first_code = api.code(registration_id)
    api.rows("update outbox_messages set fallback_at = now()")
    fall_back(api.database)

    assert api.code(registration_id) != first_code
    assert api.activate(registration_id, first_code).status_code == 200
    assert api.user(registration_id).email_verified_at is not None
    assert api.user(registration_id).phone_verified_at is None


def test_two_channels_allow_no_additional_guesses(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    for _ in range(3):
        api.activate(registration_id, "no code")
    api.rows("update outbox_messages set fallback_at = now()")
    fall_back(api.database)

    responses = [api.activate(registration_id, "no code").status_code for _ in range(3)]
    assert responses == [400, 400, 429]
