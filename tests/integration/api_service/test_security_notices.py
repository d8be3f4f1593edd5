"""Which sign-ins, refreshes and wrong passwords are reported to the user, and how often."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.secrets import code_for
from tests.support.accounts import ADA, NUMBER, Account, problem, tables
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database
from tests.support.keys import KEY, SECRET_KEYS
from tests.support.security_notices import (
    ELSEWHERE,
    FIREFOX,
    HOME,
    IPHONE,
    WORK,
    WRONG,
    coming_from,
    enqueue_notices,
    listed,
    notices,
    pass_time,
    sign_in_from,
)

BODY = {"email": ADA, "password": PASSWORD}


def activated_by_link(api: ApiUnderTest, **body: str) -> None:
    """Activate without a session, so that the first sign-in comes later."""
    assert api.activate_by_link(api.link_token(api.registered(**body))).status_code == 200


def unfamiliar(api: ApiUnderTest) -> int:
    """Count the recorded sign-ins."""
    return len(api.rows("select 1 from security_events where kind = 'unfamiliar_sign_in'"))


def test_the_first_sign_in_is_no_news_and_neither_is_the_same_client_again(api: ApiUnderTest) -> None:
    activated_by_link(api)
    for place in (HOME, HOME, "192.0.2.254"):
        assert sign_in_from(api, place).status_code == 201
    assert unfamiliar(api) == 0


def test_the_session_of_an_activation_counts_as_the_first_sign_in(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    body = {"registration_id": str(registration_id), "code": code_for(api.tokens(registration_id)[0].id, KEY)}
    assert api.client.post("/v1/activations", json=body, **coming_from(HOME)).status_code == 200
    sign_in_from(api, HOME)
    assert unfamiliar(api) == 0
    sign_in_from(api, WORK)
    assert unfamiliar(api) == 1


@pytest.mark.parametrize(("place", "agent"), [(WORK, FIREFOX), (HOME, IPHONE), (HOME, ""), (ELSEWHERE, FIREFOX)])
def test_a_new_device_or_a_new_network_is_unfamiliar_once(api: ApiUnderTest, place: str, agent: str) -> None:
    activated_by_link(api)
    sign_in_from(api, HOME)
    for _ in range(2):
        assert sign_in_from(api, place, agent).status_code == 201
    assert unfamiliar(api) == 1


def test_a_client_is_unfamiliar_again_after_90_days(api: ApiUnderTest) -> None:
    activated_by_link(api)
    sign_in_from(api, HOME)
    pass_time(api, "89 days")
    sign_in_from(api, HOME)
    assert unfamiliar(api) == 0
    pass_time(api, "91 days")
    sign_in_from(api, HOME)
    assert unfamiliar(api) == 1


def test_a_session_in_use_keeps_its_client_familiar(api: ApiUnderTest) -> None:
    activated_by_link(api)
    refresh_token = sign_in_from(api, HOME).json["refresh_token"]
    pass_time(api, "60 days")
    body = {"refresh_token": refresh_token}
    assert api.client.post("/v1/sessions/refresh", json=body, **coming_from(HOME)).status_code == 200
    pass_time(api, "60 days")
    sign_in_from(api, HOME)
    assert unfamiliar(api) == 0


def test_a_refresh_does_not_wait_for_a_sign_in_from_the_same_client(api: ApiUnderTest) -> None:
    activated_by_link(api)
    body = {"refresh_token": sign_in_from(api, HOME).json["refresh_token"]}
    pass_time(api, "2 days")
    with api.database.connect() as signing_in, signing_in.transaction(), ThreadPoolExecutor(1) as pool:
        signing_in.execute("select from seen_clients where kind = 'device' for update")
        refreshing = pool.submit(
            lambda: api.app.test_client().post("/v1/sessions/refresh", json=body, **coming_from(HOME))
        )
        try:
            assert refreshing.result(timeout=20).status_code == 200
        finally:
            signing_in.execute("rollback")
    seen = dict(api.rows("select kind, last_seen_at > now() - interval '1 day' from seen_clients"))
    assert seen == {"device": False, "network": True}


def test_a_client_stays_familiar_when_secret_keys_are_rotated(database: Database) -> None:
    with api_on(database) as api:
        activated_by_link(api)
        sign_in_from(api, HOME)
    new = "new:" + "A" * 43 + "="
    with api_on(database, SECRET_KEYS=f"{new},{SECRET_KEYS}") as api:
        sign_in_from(api, HOME)
        assert unfamiliar(api) == 0
    with api_on(database, SECRET_KEYS=new) as api:
        sign_in_from(api, HOME)
        assert unfamiliar(api) == 0


def test_a_notice_comes_five_minutes_after_the_first_unfamiliar_sign_in_and_lists_all(api: ApiUnderTest) -> None:
    activated_by_link(api, full_name="Ada")
    for place, agent in ((HOME, FIREFOX), (WORK, FIREFOX), (ELSEWHERE, IPHONE)):
        sign_in_from(api, place, agent)
    pass_time(api, "4 minutes")
    assert enqueue_notices(api) == 0
    pass_time(api, "1 minute")
    assert [enqueue_notices(api) for _ in range(2)] == [1, 0]
    [notice] = notices(api, "unfamiliar_sign_in")
    assert listed(notice) == [("Firefox (Linux)", "198.51.100.*"), ("Safari (iPhone)", "2001:db8:1:*")]
    assert (notice.recipient, notice.channel, notice.priority, notice.status) == (ADA, "email", "low", "pending")
    assert (notice.payload["name"], notice.payload["key_id"], notice.token_id) == ("Ada", "test", None)


def test_sign_ins_within_an_hour_of_a_notice_share_the_next_one(api: ApiUnderTest) -> None:
    activated_by_link(api)
    for place in (HOME, WORK):
        sign_in_from(api, place)
    pass_time(api, "5 minutes")
    enqueue_notices(api)
    for place in (ELSEWHERE, "203.0.113.9"):
        pass_time(api, "25 minutes")
        sign_in_from(api, place)
        assert enqueue_notices(api) == 0
    pass_time(api, "11 minutes")
    assert enqueue_notices(api) == 1
    networks = [[network for _, network in listed(notice)] for notice in notices(api, "unfamiliar_sign_in")]
    assert networks == [["198.51.100.*"], ["198.51.100.*", "2001:db8:1:*", "203.0.113.*"]]


def test_two_unfamiliar_sign_ins_at_once_share_a_notice_and_two_relays_send_it_once(api: ApiUnderTest) -> None:
    activated_by_link(api)
    sign_in_from(api, HOME)

    def sign_in_at(place: str) -> int:
        return api.app.test_client().post("/v1/sessions", json=BODY, **coming_from(place)).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(sign_in_at, (WORK, ELSEWHERE))) == [201, 201]
    pass_time(api, "5 minutes")
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda _: enqueue_notices(api), range(2))) == [0, 1]
    [notice] = notices(api, "unfamiliar_sign_in")
    assert len(listed(notice)) == 2


def test_a_refresh_token_used_twice_is_reported_at_once(api: ApiUnderTest) -> None:
    activated_by_link(api)
    body = {"refresh_token": sign_in_from(api, HOME).json["refresh_token"]}
    clients = (coming_from(HOME), coming_from(WORK, IPHONE))
    used = [api.client.post("/v1/sessions/refresh", json=body, **client).status_code for client in clients]
    assert used == [200, 401]
    assert enqueue_notices(api) == 1
    [notice] = notices(api, "token_reuse")
    assert listed(notice) == [("Safari (iPhone)", "198.51.100.*")]


def test_refresh_tokens_used_twice_cause_one_notice_an_hour(api: ApiUnderTest) -> None:
    activated_by_link(api, phone=NUMBER)

    def use_twice() -> None:
        body = {"refresh_token": sign_in_from(api, HOME, phone=NUMBER).json["refresh_token"]}
        for _ in range(2):
            api.client.post("/v1/sessions/refresh", json=body, **coming_from(HOME))

    for count in (1, 0, 0):
        use_twice()
        pass_time(api, "20 minutes")
        assert enqueue_notices(api) == count
    pass_time(api, "1 hour")
    assert enqueue_notices(api) == 1
    assert [len(listed(notice)) for notice in notices(api, "token_reuse")] == [1, 3]


def test_five_wrong_passwords_in_a_row_are_reported_and_a_right_one_starts_again(api: ApiUnderTest) -> None:
    activated_by_link(api)
    for password in (*[WRONG] * 4, PASSWORD, *[WRONG] * 4):
        sign_in_from(api, WORK, password=password)
    assert enqueue_notices(api) == 0
    sign_in_from(api, WORK, password=WRONG)
    assert enqueue_notices(api) == 1
    [notice] = notices(api, "wrong_passwords")
    assert listed(notice) == [("Firefox (Linux)", "198.51.100.*")]


def test_wrong_passwords_cause_one_notice_a_day(api: ApiUnderTest) -> None:
    activated_by_link(api)
    for _ in range(20):
        sign_in_from(api, WORK, password=WRONG)
    assert enqueue_notices(api) == 1
    for _ in range(5):
        sign_in_from(api, HOME, password=WRONG)
    pass_time(api, "23 hours")
    assert enqueue_notices(api) == 0
    pass_time(api, "1 hour")
    assert enqueue_notices(api) == 1
    assert len(notices(api, "wrong_passwords")) == 2


def test_of_concurrent_wrong_passwords_each_counts_once(api: ApiUnderTest) -> None:
    activated_by_link(api)
    body = BODY | {"password": WRONG}
    with ThreadPoolExecutor(5) as pool:
        statuses = {
            each.status_code
            for each in pool.map(lambda _: api.app.test_client().post("/v1/sessions", json=body), range(10))
        }
    assert statuses == {401}
    assert len(api.rows("select 1 from security_events where kind = 'wrong_passwords'")) == 2


def test_wrong_passwords_of_a_signed_in_client_count_too(api: ApiUnderTest) -> None:
    user_id = api.activated()
    ada = Account(api, user_id, sign_in_from(api, HOME).json["access_token"])
    for _ in range(5):
        assert problem(ada.erase(password=WRONG)) == (403, "wrong_password")
    assert enqueue_notices(api) == 1
    for password in (*[WRONG] * 4, PASSWORD, WRONG):
        ada.post("/v1/me/email", email="new@example.org", password=password)
    assert len(api.rows("select 1 from security_events where kind = 'wrong_passwords'")) == 1


def test_wrong_passwords_for_an_unknown_address_take_the_same_rows_and_send_nothing(api: ApiUnderTest) -> None:
    activated_by_link(api)
    api.registered(email="pending@example.org")
    rows = []
    for email in (ADA, "nobody@example.org", "pending@example.org"):
        for _ in range(5):
            assert problem(sign_in_from(api, WORK, password=WRONG, email=email)) == (401, "invalid_credentials")
        rows.append(
            api.rows("select (select count(*) from security_events), (select sum(in_a_row) from wrong_passwords)")
        )
    assert [row[0] for row in rows] == [(1, 5), (2, 10), (3, 15)]
    assert enqueue_notices(api) == 1
    assert [notice.recipient for notice in notices(api, "wrong_passwords")] == [ADA]
    assert len(api.rows("select 1 from security_events")) == 1


def test_the_fifth_wrong_password_does_not_wait_for_the_disk_as_the_others_do_not(new_database: Database) -> None:
    with new_database.connect() as connection:
        connection.execute(f"alter database {new_database.name} set synchronous_commit = on")
        connection.execute(
            "create function note() returns trigger language plpgsql as"
            " $$ begin new.device := current_setting('synchronous_commit'); return new; end $$"
        )
        connection.execute("create trigger note before insert on security_events for each row execute function note()")
    with api_on(new_database) as api:
        for _ in range(5):
            sign_in_from(api, WORK, password=WRONG)
        assert [row.device for row in api.rows("select device from security_events")] == ["off"]


def test_an_account_without_an_email_address_gets_its_notices_by_sms(api: ApiUnderTest) -> None:
    activated_by_link(api, phone=NUMBER, locale="fr")
    for place in (HOME, WORK):
        assert sign_in_from(api, place, phone=NUMBER).status_code == 201
    pass_time(api, "5 minutes")
    enqueue_notices(api)
    [notice] = notices(api, "unfamiliar_sign_in")
    assert (notice.channel, notice.recipient, notice.locale) == ("sms", NUMBER, "fr")


def test_an_account_with_both_addresses_gets_its_notices_by_email_only_if_it_is_proven(api: ApiUnderTest) -> None:
    activated_by_link(api, email=ADA, phone=NUMBER, channel="sms")
    for place in (HOME, WORK):
        sign_in_from(api, place, phone=NUMBER)
    pass_time(api, "5 minutes")
    enqueue_notices(api)
    assert [notice.channel for notice in notices(api, "unfamiliar_sign_in")] == ["sms"]


def test_familiar_clients_are_stored_as_keyed_hashes_and_few_of_them(api: ApiUnderTest) -> None:
    activated_by_link(api)
    for place in range(60):
        sign_in_from(api, f"10.0.{place}.1")
    assert len(api.rows("select 1 from seen_clients")) == 50
    assert "10.0." not in str(api.rows("select * from seen_clients"))
    sign_in_from(api, "10.0.59.1")
    assert unfamiliar(api) == 59


def test_clients_and_events_are_exported_and_erased(api: ApiUnderTest) -> None:
    activated_by_link(api)
    sign_in_from(api, HOME)
    [user] = api.rows("select id from users")
    ada = Account(api, user.id, sign_in_from(api, WORK).json["access_token"])
    for _ in range(6):
        sign_in_from(api, WORK, password=WRONG)
    pass_time(api, "5 minutes")
    enqueue_notices(api)
    export = ada.get("/v1/me/export").json
    assert sorted(each["kind"] for each in export["seen_clients"]) == ["device", "network", "network"]
    events = [(each["kind"], each["device"], each["network"]) for each in export["security_events"]]
    client = ("Firefox (Linux)", "198.51.100.*")
    assert events == [("unfamiliar_sign_in", *client), ("wrong_passwords", *client)]
    shown = {message["template"]: message["events"] for message in export["messages"]}
    assert [event["network"] for event in shown["wrong_passwords"]] == ["198.51.100.*"]
    assert shown["welcome"] == []
    assert export["user"]["first_sign_in_at"] is not None
    assert ada.erase(password=PASSWORD).status_code == 202
    for name in ("seen_clients", "security_events", "wrong_passwords"):
        assert api.rows(f"select 1 from {name}") == []
    assert "198.51.100" not in tables(api)
