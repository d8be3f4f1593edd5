"""The page behind the link in a security notice."""

from io import BytesIO
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.secrets import link_token_for
from tests.support.accounts import ADA, Account
from tests.support.api import ApiUnderTest
from tests.support.keys import KEY
from tests.support.security_notices import (
    HOME,
    WORK,
    enqueue_notices,
    notices,
    pass_time,
    sign_in_from,
    token_of,
)


@pytest.fixture
def notice(api: ApiUnderTest) -> Any:
    """The notice of an unfamiliar sign-in; both sessions are active."""
    api.activated()
    api.rows("delete from sessions")
    for place in (HOME, WORK):
        sign_in_from(api, place)
    pass_time(api, "5 minutes")
    enqueue_notices(api)
    return notices(api, "unfamiliar_sign_in")[-1]


def sessions(api: ApiUnderTest) -> int:
    return len(api.rows("select 1 from sessions"))


def test_viewing_the_page_changes_nothing(api: ApiUnderTest, notice: Any) -> None:
    before = sessions(api)
    for method in ("GET", "HEAD", "OPTIONS"):
        assert api.client.open(f"/end-sessions?token={token_of(notice)}", method=method).status_code == 200
    assert before == sessions(api) == 2


def test_the_button_ends_all_sessions_without_a_sign_in(api: ApiUnderTest, notice: Any) -> None:
    ada = Account(api, notice.user_id, sign_in_from(api, HOME).json["access_token"])
    page = api.client.get(f"/end-sessions?token={token_of(notice)}").text
    assert f'<input type="hidden" name="token" value="{token_of(notice)}">' in page
    with capture_logs() as logs:
        response = api.client.post("/end-sessions", data={"token": token_of(notice)})
    assert (response.status_code, response.headers["Content-Language"]) == (200, "en")
    assert "You are signed out everywhere" in response.text
    assert sessions(api) == 0
    assert not ada.is_signed_in()
    assert logs[0]["event"] == "sessions ended by link"


def test_a_repetition_ends_what_started_since(api: ApiUnderTest, notice: Any) -> None:
    for _ in range(2):
        sign_in_from(api, HOME)
        assert api.client.post("/end-sessions", data={"token": token_of(notice)}).status_code == 200
        assert sessions(api) == 0


def test_all_clients_are_unfamiliar_afterwards(api: ApiUnderTest, notice: Any) -> None:
    api.client.post("/end-sessions", data={"token": token_of(notice)})
    api.rows("delete from security_events")
    sign_in_from(api, WORK)
    assert len(api.rows("select 1 from security_events")) == 1


def test_the_link_of_one_account_leaves_others_signed_in(api: ApiUnderTest, notice: Any) -> None:
    api.activated(email="grace@example.org")
    api.client.post("/end-sessions", data={"token": token_of(notice)})
    assert [row.email for row in api.rows("select email from sessions join users on users.id = user_id")] == [
        "grace@example.org"
    ]


def test_the_link_expires_after_seven_days(api: ApiUnderTest, notice: Any) -> None:
    older = "update outbox_messages set created_at = created_at - %s * interval '1 hour'"
    api.rows(older, 7 * 24 - 1)
    assert api.client.post("/end-sessions", data={"token": token_of(notice)}).status_code == 200
    sign_in_from(api, HOME)
    api.rows(older, 1)
    response = api.client.post("/end-sessions", data={"token": token_of(notice)})
    assert (response.status_code, sessions(api)) == (400, 1)
    assert "This link does not work" in response.text


def test_links_of_other_messages_and_pages_do_not_work(api: ApiUnderTest, notice: Any) -> None:
    welcome = next(message for message in api.messages(notice.user_id) if message.template == "welcome")
    activation = api.link_token(api.registered(email="new@example.org"))
    wrong = [token_of(welcome), link_token_for(notice.id, KEY), activation, token_of(notice)[:-1], "", "x" * 9_000]
    for link_token in wrong:
        response = api.client.post("/end-sessions", data={"token": link_token})
        assert (response.status_code, response.mimetype) == (400, "text/html")
    assert api.client.post("/activate", data={"token": token_of(notice)}).status_code == 400
    assert api.client.get("/end-sessions").status_code == 400
    assert sessions(api) == 2


def test_the_link_of_an_erased_account_does_not_work(api: ApiUnderTest, notice: Any) -> None:
    ada = Account(api, notice.user_id, sign_in_from(api, HOME).json["access_token"])
    assert ada.erase().status_code == 202
    assert api.client.post("/end-sessions", data={"token": token_of(notice)}).status_code == 400


def test_a_form_that_is_too_large_gets_a_page(api: ApiUnderTest) -> None:
    stream = {"input_stream": BytesIO(b"token=" + b"x" * 20_000), "content_length": 20_006}
    response = api.client.post("/end-sessions", content_type="application/x-www-form-urlencoded", **stream)
    assert (response.status_code, response.mimetype) == (413, "text/html")


def test_the_page_is_in_the_reader_s_language_without_a_script(api: ApiUnderTest) -> None:
    response = api.client.get("/end-sessions?token=t", headers={"Accept-Language": "fr"})
    assert 'lang="fr"' in response.text
    assert "Me déconnecter partout" in response.text
    assert "<script" not in response.text
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert ADA not in response.text
