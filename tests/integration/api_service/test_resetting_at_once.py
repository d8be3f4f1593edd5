from concurrent.futures import ThreadPoolExecutor

from tests.support.accounts import ADA, ask_for_reset, is_password, newest_code, templates_sent_to, tokens_for
from tests.support.api import ApiUnderTest


def test_one_of_two_concurrent_confirmations_succeeds(api: ApiUnderTest) -> None:
    ada = api.activated()
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    passwords = ["first of four words", "second of four words"]
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(lambda password: confirm_on_own_client(api, code, password), passwords))
    assert sorted(responses) == [204, 400]
    assert is_password(api, passwords[responses.index(204)])
    assert templates_sent_to(api, ada).count("password_changed") == 1


def test_concurrent_requests_create_one_code_and_one_pending_message(api: ApiUnderTest) -> None:
    api.activated()
    with ThreadPoolExecutor(6) as pool:
        asked = pool.map(lambda _: api.app.test_client().post("/v1/password-resets", json={"email": ADA}), range(6))
        assert {response.status_code for response in asked} == {202}
    assert len(tokens_for(api, "password_reset")) == 1
    waiting = api.rows("select id from outbox_messages where template = 'password_reset' and status = 'pending'")
    assert len(waiting) == 1


def confirm_on_own_client(api: ApiUnderTest, code: str, password: str) -> int:
    body = {"email": ADA, "code": code, "new_password": password}
    return api.app.test_client().post("/v1/password-resets/confirm", json=body).status_code
