"""Somebody registered another's address, whose owner presses the other button."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.support.api import PASSWORD, ApiUnderTest


def decline(api: ApiUnderTest, link_token: str) -> TestResponse:
    return api.client.post("/activate/decline", data={"token": link_token})


def is_pending(api: ApiUnderTest, registration_id: UUID) -> bool:
    return bool(api.user(registration_id).status == "pending")


def test_what_is_declined_can_be_activated_neither_by_link_nor_by_code_and_no_message_goes(api: ApiUnderTest) -> None:
    strangers = api.registered(phone="+447400123456", email="ada@example.org")
    link_token, code = api.link_token(strangers), api.code(strangers)

    response = decline(api, link_token)

    assert (response.status_code, "The registration is cancelled" in response.text) == (200, True)
    assert api.user(strangers).status == "retired"
    assert [(row.status, row.dead_reason) for row in api.messages(strangers)] == [("dead", "superseded")]
    assert api.activate_by_link(link_token, password=PASSWORD).status_code == 400
    assert api.activate(strangers, code).status_code == 400
    assert decline(api, link_token).status_code == 400
    assert api.look_up(strangers).json["status"] == "expired"


def test_one_s_own_registration_needs_no_password_once_the_stranger_s_is_declined(api: ApiUnderTest) -> None:
    strangers, mine = api.registered(), api.registered()
    decline(api, api.link_token(strangers))

    assert is_pending(api, mine)
    assert api.activate_by_link(api.link_token(mine)).status_code == 200


def test_who_pressed_the_wrong_button_asks_for_another_message_and_activates(api: ApiUnderTest) -> None:
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


def test_of_activating_and_declining_at_once_one_happens(api: ApiUnderTest) -> None:
    for number in range(10):
        mine = api.registered(email=f"ada{number}@example.org")
        link_token = api.link_token(mine)
        with ThreadPoolExecutor(2) as pool:
            activated = pool.submit(api.activate_by_link, link_token)
            declined = pool.submit(decline, api, link_token)
        statuses = activated.result().status_code, declined.result().status_code
        assert (statuses, api.user(mine).status) in [((200, 400), "active"), ((400, 200), "retired")]
