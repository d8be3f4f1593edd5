"""A request that needs a session, code or link is rejected if that ends while the request is in progress."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import psycopg
import pytest
from werkzeug.test import TestResponse

from api_service.routes import account
from api_service.security import passwords
from api_service.use_cases import account_codes, activate
from tests.support.accounts import (
    ADA,
    NEW_PASSWORD,
    Account,
    ask_for_reset,
    confirm_reset,
    newest_code,
    problem,
    signed_in,
    tokens_for,
)
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.eventually import eventually

NEW_EMAIL = "countess@example.org"
END_SESSIONS = "delete from sessions where user_id = %s"
END_TOKENS = "update tokens set expires_at = clock_timestamp() where user_id = %s"

ERASE_TOKENS = "delete from tokens where user_id = %s"
ERASE = f"with erased as ({ERASE_TOKENS} returning user_id) delete from users where id in (select user_id from erased)"

Request = Callable[[], TestResponse]
Result = TypeVar("Result")


@pytest.fixture
def ada(api: ApiUnderTest) -> Account:
    user_id = api.activated(email=ADA)
    return Account(api, user_id, signed_in(api))


def behind(first: Callable[[], object], work: Callable[..., Result]) -> Callable[..., Result]:
    """Return a function that calls ``first`` before ``work``."""

    def do_both(*arguments: object) -> Result:
        first()
        return work(*arguments)

    return do_both


@contextmanager
def request_blocked(account: Account, request: Request) -> Iterator[tuple[psycopg.Connection, list[TestResponse]]]:
    """Lock the user until the request waits; yield the locking connection and, after the block, the response."""
    responses: list[TestResponse] = []
    with account.api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute("select from users where id = %s for update", [account.id])
            asked = someone.submit(request)
            eventually(account.api.count_waiting)
            yield elsewhere, responses
        responses.append(asked.result(30))


@pytest.mark.parametrize("path", ["/v1/me/email/confirm", "/v1/me/password", "/v1/me/email"])
def test_a_session_that_ends_concurrently_changes_no_account(api: ApiUnderTest, ada: Account, path: str) -> None:
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    bodies = {
        "/v1/me/email/confirm": {"code": newest_code(api, "address_change")},
        "/v1/me/password": {"old_password": PASSWORD, "new_password": NEW_PASSWORD},
        "/v1/me/email": {"email": NEW_EMAIL, "password": PASSWORD},
    }
    before = (api.user(ada.id), api.count_rows())

    with request_blocked(ada, lambda: ada.post(path, **bodies[path])) as (elsewhere, responses):
        elsewhere.execute(END_SESSIONS, [ada.id])

    assert problem(responses[0]) == (401, "invalid_token")
    assert (api.user(ada.id), api.count_rows()) == before


def test_a_session_that_ends_concurrently_erases_no_user(api: ApiUnderTest, ada: Account) -> None:
    with request_blocked(ada, ada.erase) as (elsewhere, responses):
        elsewhere.execute(END_SESSIONS, [ada.id])

    assert problem(responses[0]) == (401, "invalid_token")
    assert api.user(ada.id).email == ADA


@pytest.mark.parametrize("body", [{"password": PASSWORD}, {}])
def test_of_two_concurrent_erasures_the_second_is_not_signed_in(ada: Account, body: dict[str, str]) -> None:
    with request_blocked(ada, lambda: ada.erase(**body)) as (elsewhere, responses):
        elsewhere.execute(ERASE, [ada.id])

    assert problem(responses[0]) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("proof", "body"), [("reauthenticate_by_password", {"password": PASSWORD}), ("reauthenticate_by_fresh_session", {})]
)
def test_a_user_erased_before_reauthentication_is_not_signed_in(
    api: ApiUnderTest, ada: Account, monkeypatch: pytest.MonkeyPatch, proof: str, body: dict[str, str]
) -> None:
    erase = partial(api.rows, ERASE, ada.id)
    monkeypatch.setattr(account, proof, behind(erase, getattr(account, proof)))

    assert problem(ada.erase(**body)) == (401, "invalid_token")


def test_a_password_that_changes_concurrently_is_wrong(ada: Account) -> None:
    with request_blocked(ada, lambda: ada.erase(password=PASSWORD)) as (elsewhere, responses):
        elsewhere.execute("update users set password_hash = 'another' where id = %s", [ada.id])

    assert problem(responses[0]) == (403, "wrong_password")
    assert ada.is_signed_in()


def test_a_link_that_ends_concurrently_activates_no_user(api: ApiUnderTest) -> None:
    pending = Account(api, api.registered(email="bob@example.org"), access_token="")
    link_token = api.link_token(pending.id)

    with request_blocked(pending, lambda: api.activate_by_link(link_token)) as (elsewhere, responses):
        elsewhere.execute(END_TOKENS, [pending.id])

    assert problem(responses[0]) == (400, "invalid_or_expired")
    assert api.user(pending.id).status == "pending"


def test_a_code_that_ends_resets_no_password(api: ApiUnderTest, ada: Account) -> None:
    ask_for_reset(api)
    code = newest_code(api, "password_reset")

    with request_blocked(ada, lambda: confirm_reset(api, code)) as (elsewhere, responses):
        elsewhere.execute(END_TOKENS, [ada.id])

    assert problem(responses[0]) == (400, "invalid_or_expired")
    assert ada.is_signed_in()


def test_a_code_of_a_concurrently_erased_user_resets_no_password(
    api: ApiUnderTest, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    monkeypatch.setattr(passwords, "hash_password", behind(ada.erase, passwords.hash_password))

    assert problem(confirm_reset(api, code)) == (400, "invalid_or_expired")


def test_a_link_of_a_concurrently_erased_user_activates_no_user(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = api.registered(email="bob@example.org")
    link_token = api.link_token(pending)
    erase = partial(api.rows, ERASE, pending)
    monkeypatch.setattr(activate, "lock_contenders", behind(erase, activate.lock_contenders))

    assert problem(api.activate_by_link(link_token)) == (400, "invalid_or_expired")


def test_a_concurrently_erased_code_causes_no_error(
    api: ApiUnderTest, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_reset(api)
    api.rows("update tokens set attempts_left = 0 where purpose = 'password_reset'")  # leaves no code to repeat
    erase = partial(api.rows, ERASE_TOKENS, ada.id)
    monkeypatch.setattr(account_codes, "end_tokens", behind(erase, account_codes.end_tokens))

    assert ask_for_reset(api).status_code == 202
    assert len(tokens_for(api, "password_reset")) == 1


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_new_password_ends_the_codes_for_another_address(api: ApiUnderTest, ada: Account, *, is_reset: bool) -> None:
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    code = newest_code(api, "address_change")
    if is_reset:
        ask_for_reset(api)
        confirm_reset(api, newest_code(api, "password_reset"))
    else:
        ada.post("/v1/me/password", old_password=PASSWORD, new_password=NEW_PASSWORD)

    later = Account(api, ada.id, signed_in(api, password=NEW_PASSWORD))

    assert problem(later.post("/v1/me/email/confirm", code=code)) == (400, "invalid_or_expired")
    [token] = tokens_for(api, "address_change")
    [message] = [row for row in api.messages(ada.id) if row.token_id == token.id]
    assert message.dead_reason == "superseded"
