import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from api_service.services import EXTENSION, Services
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database
from tests.support.eventually import eventually

LEASED = "lease_token = gen_random_uuid(), leased_until = {end}, due_at = {end}"


@pytest.mark.parametrize(
    ("assignment", "status", "problem"),
    [
        ("due_at = due_at", "pending", None),
        ("attempt = 1, last_error_class = 'transient'", "pending", "temporarily_unavailable"),
        ("last_error_class = 'provider'", "pending", "temporarily_unavailable"),
        ("status = 'sent', settled_at = now(), last_error_class = 'provider'", "sent", None),
        ("status = 'dead', settled_at = now(), dead_reason = 'rejected'", "dead", "address_rejected"),
        ("status = 'dead', settled_at = now(), dead_reason = 'expired'", "dead", "expired"),
        ("status = 'dead', settled_at = now(), dead_reason = 'exhausted'", "dead", "undeliverable"),
    ],
)
def test_delivery_problems_do_not_quote_servers(
    api: ApiUnderTest, assignment: str, status: str, problem: str | None
) -> None:
    registration_id = api.registered()
    api.rows(f"update outbox_messages set last_error = '550 no such user', provider = 'smtp-1', {assignment}")

    response = api.look_up(registration_id)

    assert (response.json["delivery"]["status"], response.json["delivery"]["problem"]) == (status, problem)
    assert response.json["email_confirmation_sent"] is (status == "sent")
    assert "no such user" not in response.text
    assert "smtp-1" not in response.text


@pytest.mark.parametrize(
    ("assignment", "is_due"),
    [
        ("due_at = due_at", True),
        ("attempt = 1, due_at = now() + interval '1 hour'", True),
        (LEASED.format(end="now() + interval '1 minute'"), False),
        (LEASED.format(end="now() - interval '1 minute'"), True),
        ("status = 'sent', settled_at = now(), due_at = now() + interval '1 minute'", False),
        ("status = 'dead', settled_at = now(), dead_reason = 'rejected'", False),
    ],
)
def test_a_delivery_is_due_only_while_it_waits(api: ApiUnderTest, assignment: str, *, is_due: bool) -> None:
    registration_id = api.registered()
    api.rows(f"update outbox_messages set {assignment}")

    reported = api.look_up(registration_id).json["delivery"]["due_at"]

    due_at = api.messages(registration_id)[0].due_at
    assert (reported and datetime.fromisoformat(reported)) == (
        due_at.replace(microsecond=due_at.microsecond // 1000 * 1000) if is_due else None
    )


def test_a_sent_sms_does_not_confirm_the_email(api: ApiUnderTest) -> None:
    registration_id = api.registered(phone="+33612345678")
    settle(api)

    registration = api.look_up(registration_id).json
    assert (registration["delivery"]["status"], registration["email_confirmation_sent"]) == ("sent", False)


def test_the_response_waits_for_the_message_to_settle(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(look_up_elsewhere, api, registration_id, "wait=20")
        eventually(lambda: waiting_requests(api) == 1)
        settle(api)
        response = waiting.result(60)

    assert response.json["email_confirmation_sent"] is True
    assert response.headers["Preference-Applied"] == "wait=20"


def test_registering_can_wait_too(api: ApiUnderTest) -> None:
    def register() -> Any:
        body = {"email": "ada@example.org", "password": PASSWORD}
        return api.app.test_client().post("/v1/registrations", json=body, headers={"Prefer": "wait=20"})

    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(register)
        eventually(lambda: waiting_requests(api) == 1)
        settle(api)
        response = waiting.result(60)

    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=20")
    assert response.json["delivery"]["status"] == "sent"


def test_the_response_is_sent_at_the_end_of_the_wait(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    started = time.monotonic()
    response = api.look_up(registration_id, Prefer="wait=1")

    assert time.monotonic() - started >= 1
    assert (response.json["delivery"]["status"], response.headers["Preference-Applied"]) == ("pending", "wait=1")


def test_without_a_preference_no_request_waits(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    for preference in ("respond-async", "wait=0", "wait=soon"):
        response = api.look_up(registration_id, Prefer=preference)
        assert response.status_code == 200
        assert "Preference-Applied" not in response.headers


def test_waiting_requests_hold_no_connection(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    pool: Any = services_of(api).engine.pool

    with ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(look_up_elsewhere, api, registration_id, "wait=20") for _ in range(2)]
        eventually(lambda: waiting_requests(api) == 2)
        eventually(lambda: pool.checkedout() == 0)
        settle(api)
        assert {response.result(60).status_code for response in waiting} == {200}


def test_a_request_beyond_the_allowed_number_does_not_wait(database: Database) -> None:
    with api_on(database, API_THREADS="4") as api, ThreadPoolExecutor(1) as client:
        registration_id = api.registered()
        waiting = client.submit(look_up_elsewhere, api, registration_id, "wait=20")
        eventually(lambda: waiting_requests(api) == 1)

        response = api.look_up(registration_id, Prefer="wait=20")

        assert response.json["delivery"]["status"] == "pending"
        assert "Preference-Applied" not in response.headers
        settle(api)
        assert waiting.result(60).json["delivery"]["status"] == "sent"


def services_of(api: ApiUnderTest) -> Services:
    services: Services = api.app.extensions[EXTENSION]
    return services


def waiting_requests(api: ApiUnderTest) -> int:
    permits = services_of(api).settled_waiters.permits
    return permits._initial_value - permits._value  # type: ignore[attr-defined] # noqa: SLF001 - no public counter


def look_up_elsewhere(api: ApiUnderTest, registration_id: Any, preference: str) -> Any:
    """Look the registration up with a separate client, for use in another thread."""
    return api.app.test_client().get(f"/v1/registrations/{registration_id}", headers={"Prefer": preference})


def settle(api: ApiUnderTest) -> None:
    api.rows("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
