"""A stranger registered the address, and its owner presses the second button."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.support.api import PASSWORD, ApiUnderTest


def decline(api: ApiUnderTest, link_token: str) -> TestResponse:
    return api.client.post("/activate/decline", data={"token": link_token})


def is_pending(api: ApiUnderTest, registration_id: UUID) -> bool:
    return bool(api.user(registration_id).status == "pending")


def test_a_declined_registration_cannot_be_activated_and_sends_nothing(api: ApiUnderTest) -> None:
    strangers = api.registered(phone="+447400123456", email="ada@example.org")
    link_token, code = api.link_token(strangers), api.code(strangers)

    response = decline(api, link_token)

    assert (response.status_code, "We have cancelled the registration" in response.text) == (200, True)
    assert api.user(strangers).status == "retired"
    assert [(row.status, row.dead_reason) for row in api.messages(strangers)] == [("dead", "superseded")]
    assert api.activate_by_link(link_token, password=PASSWORD).status_code == 400
    assert api.activate(strangers, code).status_code == 400
    assert decline(api, link_token).status_code == 400
    assert api.look_up(strangers).json["status"] == "expired"


def test_declining_the_other_registration_makes_the_password_unnecessary(api: ApiUnderTest) -> None:
    strangers, mine = api.registered(), api.registered()
    decline(api, api.link_token(strangers))

    assert is_pending(api, mine)
    assert api.activate_by_link(api.link_token(mine)).status_code == 200


def test_a_mistaken_decline_is_undone_by_a_resend(api: ApiUnderTest) -> None:
    mine = api.registered()
    old_link = api.link_token(mine)
    decline(api, old_link)

    assert api.resend(mine).status_code == 202
    assert api.activate_by_link(old_link).status_code == 400
    assert api.activate_by_link(api.link_token(mine)).status_code == 200


@pytest.mark.parametrize("form", [{}, {"token": ""}, {"token": "no.such"}, {"tokens": "x"}])
def test_a_bad_token_declines_nothing(api: ApiUnderTest, form: dict[str, str]) -> None:
    mine = api.registered()

    response = api.client.post("/activate/decline", data=form)

    assert (response.status_code, response.mimetype) == (400, "text/html")
    assert is_pending(api, mine)


def test_an_account_that_is_active_cannot_be_declined(api: ApiUnderTest) -> None:
    mine = api.registered()
    link_token = api.link_token(mine)
    api.activate(mine)

    assert decline(api, link_token).status_code == 400
    assert api.user(mine).status == "active"


def test_an_expired_link_declines_nothing(api: ApiUnderTest) -> None:
    mine = api.registered()
    link_token = api.link_token(mine)
    api.rows("update tokens set expires_at = now()")

    assert decline(api, link_token).status_code == 400
    assert is_pending(api, mine)


def test_of_concurrent_activating_and_declining_one_succeeds(api: ApiUnderTest) -> None:
    for number in range(10):
        mine = api.registered(email=f"ada{number}@example.org")
        link_token = api.link_token(mine)
        with ThreadPoolExecutor(2) as pool:
            activated = pool.submit(api.activate_by_link, link_token)
            declined = pool.submit(decline, api, link_token)
        statuses = activated.result().status_code, declined.result().status_code
        assert (statuses, api.user(mine).status) in [((200, 400), "active"), ((400, 200), "retired")]
