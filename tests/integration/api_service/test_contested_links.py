"""A stranger registers an address with their own password and waits for the owner to press the link."""

import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import ADA, NEW_PASSWORD, problem
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database

STRANGERS = "a password of the stranger"


def sign_in(api: ApiUnderTest, password: str) -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": ADA, "password": password})


def press(api: ApiUnderTest, link_token: str, **form: str) -> TestResponse:
    return api.client.post("/activate", data={"token": link_token, **form})


@pytest.mark.parametrize("is_stranger_first", [True, False])
def test_a_link_activates_only_with_its_registrations_password(api: ApiUnderTest, *, is_stranger_first: bool) -> None:
    passwords = [STRANGERS, PASSWORD] if is_stranger_first else [PASSWORD, STRANGERS]
    registrations = {password: api.registered(email=ADA, password=password) for password in passwords}
    wrong_link, right_link = (api.link_token(registrations[password]) for password in (STRANGERS, PASSWORD))

    assert problem(api.activate_by_link(wrong_link)) == (403, "password_required")
    assert problem(api.activate_by_link(wrong_link, password=PASSWORD)) == (403, "wrong_password")
    assert problem(api.activate_by_link(right_link)) == (403, "password_required")
    assert api.rows("select 1 from users where status <> 'pending'") == []
    assert api.rows("select 1 from tokens where used_at is not null") == []

    assert api.activate_by_link(right_link, password=PASSWORD).status_code == 200
    assert sign_in(api, PASSWORD).status_code == 201
    assert sign_in(api, STRANGERS).status_code in (401, 403)
    assert problem(api.activate_by_link(wrong_link, password=STRANGERS)) == (400, "invalid_or_expired")


def test_a_single_registration_needs_only_the_link(api: ApiUnderTest) -> None:
    api.registered(email="neighbour@example.org")
    alone = api.registered(email=ADA)

    assert api.activate_by_link(api.link_token(alone)).status_code == 200


def test_the_code_needs_no_password(api: ApiUnderTest) -> None:
    api.registered(email=ADA, password=STRANGERS)
    mine = api.registered(email=ADA)

    assert api.activate(mine).status_code == 200
    assert sign_in(api, PASSWORD).status_code == 201


def test_only_a_valid_link_reveals_other_registrations(api: ApiUnderTest) -> None:
    mine, _other = api.registered(email=ADA), api.registered(email=ADA)
    link_token = api.link_token(mine)
    api.rows("update tokens set expires_at = now()")

    assert problem(api.activate_by_link(link_token)) == (400, "invalid_or_expired")
    assert problem(api.activate_by_link(link_token + "x", password=PASSWORD)) == (400, "invalid_or_expired")


def test_a_password_is_accepted_only_with_a_link(api: ApiUnderTest) -> None:
    mine = api.registered(email=ADA)
    body = {"registration_id": str(mine), "code": api.code(mine), "password": PASSWORD}

    response = api.client.post("/v1/activations", json=body)

    assert response.json["errors"][0]["code"] == "one_form_required"


def test_the_page_asks_for_the_password_and_reports_a_wrong_one(api: ApiUnderTest) -> None:
    api.registered(email=ADA, password=STRANGERS)
    mine = api.registered(email=ADA, password="une caf\u00e9ti\u00e8re bleue")
    link_token = api.link_token(mine)

    asked, wrong = press(api, link_token), press(api, link_token, password=NEW_PASSWORD)

    for page, title in ((asked, "Enter your password"), (wrong, "Wrong password")):
        assert (page.status_code, page.mimetype) == (403, "text/html")
        assert title in page.text
        assert f'name="token" value="{link_token}"' in page.text
        assert '<input id="password" type="password" name="password"' in page.text
    done = press(api, link_token, password="une cafe\u0301tie\u0300re bleue")
    assert (done.status_code, "Your account is active" in done.text) == (200, True)


def test_passwords_with_links_count_as_sign_ins(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_NETWORK="2/minute") as api:
        mine, _other = api.registered(email=ADA), api.registered(email=ADA)
        link_token = api.link_token(mine)
        wrong = [press(api, link_token, password=NEW_PASSWORD).status_code for _ in range(2)]
        page, response = press(api, link_token, password=PASSWORD), api.activate_by_link(link_token, password=PASSWORD)

        assert wrong == [403, 403]
        assert (page.status_code, page.mimetype, "Too many" in page.text) == (429, "text/html", True)
        assert 1 <= int(page.headers["Retry-After"]) <= 60
        assert problem(response) == (429, "too_many_requests")
