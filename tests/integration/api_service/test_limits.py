from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import ADA, Account, signed_in
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database
from tests.support.hits import move


@pytest.fixture
def limited(database: Database) -> Iterator[ApiUnderTest]:
    """The default limits, without a cooldown between resends."""
    with shared_api(database, RATE_LIMITS="on", TRUSTED_PROXIES="1") as api:
        yield api


def test_a_network_reaches_its_limit_and_others_do_not(limited: ApiUnderTest) -> None:
    responses = [register_from(limited, "192.0.2.1", n) for n in range(21)]

    assert [response.status_code for response in responses] == [202] * 20 + [429]
    assert responses[0].headers["RateLimit-Policy"] == '"registrations_per_network";q=20;w=60'
    assert responses[0].headers["RateLimit"].startswith('"registrations_per_network";r=19;t=')
    assert (responses[20].json["code"], responses[20].json["limits"]) == (
        "too_many_requests",
        ["registrations_per_network"],
    )
    assert 1 <= int(responses[20].headers["Retry-After"]) <= 60
    assert '"registrations_per_network";r=0;t=' in responses[20].headers["RateLimit"]
    assert limited.count_rows()[0] == 20
    assert register_from(limited, "192.0.2.2", 21).status_code == 202


def test_ipv6_clients_are_counted_by_their_64_prefix(limited: ApiUnderTest) -> None:
    hopping = [register_from(limited, f"2001:db8:0:1::{n:x}", n).status_code for n in range(21)]

    assert hopping == [202] * 20 + [429]
    assert register_from(limited, "2001:db8:0:2::1", 21).status_code == 202


def test_without_trusted_proxies_forwarded_addresses_are_ignored(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_REGISTRATIONS_PER_NETWORK="2/minute") as api:
        assert [register_from(api, f"192.0.2.{n}", n).status_code for n in range(3)] == [202, 202, 429]


def test_without_proxies_clients_are_counted_by_their_own_address(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_REGISTRATIONS_PER_NETWORK="1/minute") as api:
        clients = [api.app.test_client() for _ in range(2)]
        for n, client in enumerate(clients):
            client.environ_base["REMOTE_ADDR"] = f"192.0.2.{n}"
        body = {"email": "ada@example.org", "password": PASSWORD}
        tried = [client.post("/v1/registrations", json=body).status_code for client in [*clients, *clients]]
    assert tried == [202, 202, 429, 429]


def test_a_database_failure_counts_against_no_limit(limited: ApiUnderTest, database: Database) -> None:
    with database.connect() as owner:
        owner.execute(
            "create function fail() returns trigger language plpgsql as"
            " $$ begin raise 'shutting down' using errcode = '57P01'; end $$;"
            "create trigger fail before insert on users for each row execute function fail()"
        )
        failed = [register_again(limited, "ada@example.org") for _ in range(6)]
        owner.execute("drop trigger fail on users")
    responses = [register_again(limited, "ada@example.org") for _ in range(6)]

    assert [response.status_code for response in failed] == [503] * 6
    assert [response.status_code for response in responses] == [202] * 5 + [429]


def test_a_taken_address_has_the_same_limits_as_a_free_one(limited: ApiUnderTest) -> None:
    limited.activated(email="ada@example.org")
    limited.rows("truncate rate_limits")

    known = [register_again(limited, "ADA@example.org") for _ in range(6)]
    unknown = [register_again(limited, "grace@example.org") for _ in range(6)]

    assert [response.status_code for response in known] == [202] * 5 + [429]
    for one, other in zip(known, unknown, strict=True):
        assert (one.status_code, one.json.keys()) == (other.status_code, other.json.keys())
        assert [name for name, _ in one.headers] == [name for name, _ in other.headers]
        assert one.headers.get("RateLimit-Policy") == other.headers.get("RateLimit-Policy")
    assert 3590 < int(known[5].headers["Retry-After"]) <= 3600
    assert "address" not in known[4].headers["RateLimit"]


def test_the_counts_contain_no_address(limited: ApiUnderTest) -> None:
    limited.registered(email="ada@example.org", phone="+33612345678")
    keys = " ".join(row.key for row in limited.rows("select key from rate_limits"))

    assert "registrations_per_address" in keys
    assert not any(word in keys.lower() for word in ("ada", "example", "612345678"))


def test_resends_are_limited_by_the_address_and_can_resend_shows_it(limited: ApiUnderTest) -> None:
    first, second = limited.registered(), limited.registered()
    assert [limited.resend(first).status_code for _ in range(4)] == [202] * 4
    assert limited.look_up(second).json["can_resend"] is True

    last = limited.resend(second)
    refused = limited.resend(first)

    assert (last.status_code, last.json["can_resend"]) == (202, False)
    assert (refused.status_code, refused.json["limits"]) == (429, ["resends_per_address"])
    shown = limited.look_up(second).json
    assert (shown["can_resend"], shown["resend_after"] > shown["expires_at"][:10]) == (False, True)
    move(limited.database, timedelta(hours=24))
    assert limited.look_up(second).json["can_resend"] is True
    assert limited.resend(first).status_code == 202


def test_a_rejected_early_resend_counts_against_no_limit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", RESEND_COOLDOWN_SECONDS="60", LIMIT_RESENDS_PER_ADDRESS="1/day") as api:
        registration_id = api.registered()
        assert [api.resend(registration_id).json["code"] for _ in range(3)] == ["resend_too_soon"] * 3
        api.rows("update outbox_messages set created_at = created_at - interval '61 seconds'")
        assert api.resend(registration_id).status_code == 202


def test_codes_to_one_address_share_ten_attempts_a_day(limited: ApiUnderTest) -> None:
    registrations = [limited.registered() for _ in range(3)]
    wrong = [limited.activate(registrations[n // 5], WRONG_CODE).json["code"] for n in range(10)]
    assert set(wrong) == {"invalid_or_expired"}

    right = limited.activate(registrations[2])

    assert (right.status_code, right.json["limits"]) == (429, ["code_tries_per_address"])
    assert limited.tokens(registrations[2])[0].attempts_left == 5
    link_token = limited.link_token(registrations[2])
    assert limited.activate_by_link(link_token, password=PASSWORD).status_code == 200


def test_codes_to_one_number_share_ten_attempts_a_day(limited: ApiUnderTest) -> None:
    registrations = [limited.registered(phone="+33612345678") for _ in range(3)]
    tried = [limited.activate(registrations[n // 4], WRONG_CODE).status_code for n in range(11)]

    assert tried == [400] * 10 + [429]


def test_tries_of_a_code_to_a_new_address_are_counted_by_that_address(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_CODE_TRIES_PER_ADDRESS="1/day") as api:
        ada = Account(api, api.registered(email=ADA), "")
        assert api.activate_by_link(api.link_token(ada.id)).status_code == 200
        ada = Account(api, ada.id, signed_in(api))
        for new, status in (("countess@example.org", 400), ("grace@example.org", 400), ("grace@example.org", 429)):
            assert ada.post("/v1/me/email", email=new, password=PASSWORD).status_code == 202
            assert ada.post("/v1/me/email/confirm", code=WRONG_CODE).status_code == status


def test_the_page_that_refuses_a_password_has_the_headers_of_the_limit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_NETWORK="1/minute") as api:
        form = {"token": api.link_token(api.registered()), "password": "four wrong words here"}
        wrong, refused = (api.client.post("/activate", data=form) for _ in range(2))
    assert (wrong.status_code, refused.status_code) == (403, 429)
    assert refused.headers["RateLimit-Policy"] == '"failed_logins_per_network";q=1;w=60'
    assert refused.headers["RateLimit"].startswith('"failed_logins_per_network";r=0;t=')


def test_concurrent_attempts_stay_within_the_limit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_CODE_TRIES_PER_ADDRESS="3/day", CODE_ATTEMPTS="20") as api:
        registration_id = api.registered()
        body = {"registration_id": str(registration_id), "code": WRONG_CODE}
        with ThreadPoolExecutor(8) as crowd:
            codes = list(
                crowd.map(lambda _: api.app.test_client().post("/v1/activations", json=body).json["code"], range(12))
            )
    assert sorted(codes) == ["invalid_or_expired"] * 3 + ["too_many_requests"] * 9


def register_from(api: ApiUnderTest, address: str, n: int) -> TestResponse:
    body = {"email": f"user{n}@example.org", "password": "four quiet words here"}
    return api.client.post("/v1/registrations", json=body, headers={"X-Forwarded-For": f"198.51.100.7, {address}"})


def register_again(api: ApiUnderTest, email: str) -> TestResponse:
    return api.register(email=email)
