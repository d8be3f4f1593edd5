from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Engine, text

from api_service.http.rate_limiting import limit_headers
from api_service.rate_limits import (
    RULES,
    Limit,
    Limiter,
    Subject,
    Tally,
    TooManyRequestsError,
    Window,
    Windows,
)
from shared.db.engine import create_database_engine
from tests.support.databases import Database
from tests.support.hits import move
from tests.support.keys import KEY

ADA = Subject(Limit.REGISTRATIONS_PER_ADDRESS, "ada")
HERE = Subject(Limit.REGISTRATIONS_PER_NETWORK, "192.0.2.1")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = create_database_engine(database.api_url, application_name="test", pool_size=4)
    yield engine
    engine.dispose()


def limiter_of(engine: Engine, **texts: str) -> Limiter:
    windows = {limit: Windows.read(texts.get(limit.value, "none")) for limit in Limit}
    return Limiter(engine, windows, KEY)


def test_a_subject_without_a_limit_is_always_admitted_at_once(engine: Engine) -> None:
    limiter = limiter_of(engine)
    assert limiter.spend([ADA]) == []
    assert limiter.time_until_admitted(ADA) == timedelta(0)


def test_concurrent_hits_never_exceed_the_limit(database: Database) -> None:
    engines = [create_database_engine(database.api_url, application_name=name, pool_size=4) for name in "ab"]
    limits = {"registrations_per_address": "7/hour; 9/day", "registrations_per_network": "20/minute"}
    limiters = [limiter_of(engine, **limits) for engine in engines] * 4

    def hit(limiter: Limiter) -> int:
        admitted = 0
        for _ in range(10):
            with suppress(TooManyRequestsError):
                limiter.spend([HERE, ADA] if limiter is limiters[0] else [ADA, HERE])
                admitted += 1
        return admitted

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(hit, limiters)) == 7
    for engine in engines:
        engine.dispose()


def test_a_window_slides_and_rejected_hits_do_not_count(database: Database, engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="2/hour")
    limiter.spend([ADA])
    move(database, timedelta(minutes=40))
    limiter.spend([ADA])
    for _ in range(5):
        with pytest.raises(TooManyRequestsError) as problem:
            limiter.spend([ADA])
    assert 19 * 60 < problem.value.retry_after_seconds <= 20 * 60

    move(database, timedelta(minutes=21))

    assert limiter.spend([ADA])[0].left == 0
    with pytest.raises(TooManyRequestsError):
        limiter.spend([ADA])


def test_all_windows_of_a_limit_must_admit(database: Database, engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="2/minute; 3/hour")
    for _ in range(3):
        limiter.spend([ADA])
        move(database, timedelta(minutes=2))

    with pytest.raises(TooManyRequestsError) as problem:
        limiter.spend([ADA])
    assert [tally.window.seconds for tally in problem.value.reached] == [3600]


def test_a_hit_in_a_transaction_counts_if_it_commits(engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="1/hour")
    with engine.connect() as connection:
        limiter.spend([ADA], connection)
        connection.rollback()
    assert limiter.time_until_admitted(ADA) == timedelta(0)

    with engine.begin() as connection:
        limiter.spend([ADA], connection)
    assert timedelta(minutes=59) < limiter.time_until_admitted(ADA) <= timedelta(hours=1)


def test_hits_are_in_the_order_of_time_also_from_an_older_transaction(database: Database, engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="5/hour")
    with engine.begin() as older:
        older.execute(text("select now()"))
        limiter.spend([ADA])
        limiter.spend([ADA], older)
    with database.connect() as owner:
        [(hits,)] = owner.execute("select hits from rate_limits").fetchall()
    assert hits == sorted(hits)


def test_a_refund_removes_one_hit(engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="2/hour", registrations_per_network="3/hour")
    for _ in range(2):
        limiter.spend([ADA, HERE])

    limiter.refund([ADA, HERE])

    assert {tally.limit: tally.left for tally in limiter.spend([ADA, HERE])} == {ADA.limit: 0, HERE.limit: 1}


def test_concurrent_hits_and_refunds_do_not_deadlock(engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="100/hour; 200/day", registrations_per_network="100/hour")

    def hit_and_refund(_: int) -> None:
        for _time in range(60):
            limiter.spend([ADA, HERE])
            limiter.refund([ADA, HERE])

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(hit_and_refund, range(4)))

    assert {tally.left for tally in limiter.spend([ADA, HERE])} == {99, 199}


def test_a_refund_without_a_hit_does_nothing(engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="1/hour")
    limiter.spend([ADA])
    for _ in range(3):
        limiter.refund([ADA])
    limiter.spend([ADA])
    with pytest.raises(TooManyRequestsError):
        limiter.spend([ADA])


def test_hits_are_admitted_as_by_a_list_of_all_hits_in_the_last_hour(database: Database, engine: Engine) -> None:
    hour, now, jitter = timedelta(hours=1), timedelta(0), Random(30)
    limiter = limiter_of(engine, registrations_per_address="3/hour")
    admitted: list[timedelta] = []
    for _ in range(60):
        # No sum of these equals an hour, so the result does not depend on the duration of a statement.
        by = timedelta(minutes=jitter.choice([0, 0, 7, 14, 35]))
        now += by
        move(database, by)
        admitted = [hit for hit in admitted if hit > now - hour]
        has_room = len(admitted) < 3
        assert is_admitted(limiter) == has_room
        if has_room:
            admitted.append(now)
        wait = admitted[0] + hour - now if len(admitted) == 3 else timedelta(0)
        assert abs(limiter.time_until_admitted(ADA) - wait) < timedelta(minutes=1)


def is_admitted(limiter: Limiter) -> bool:
    with suppress(TooManyRequestsError):
        return limiter.spend([ADA])[0].is_admitted
    return False


def test_a_crash_of_postgresql_empties_only_counters(database: Database) -> None:
    with database.connect() as owner:
        unlogged = owner.execute(
            "select relname from pg_class where relpersistence = 'u' and relkind = 'r'"
            " and relnamespace = 'public'::regnamespace order by relname"
        ).fetchall()
    assert unlogged == [("rate_limits",), ("wrong_passwords",)]


def test_old_hits_and_responses_are_pruned_and_recent_ones_stay(database: Database, engine: Engine) -> None:
    limiter = limiter_of(engine, registrations_per_address="5/hour", registrations_per_network="5/day")
    limiter.spend([ADA, HERE])
    with database.connect() as owner:
        owner.execute("update rate_limits set ends_at = ends_at - interval '2 hours'")
        owner.execute(
            "insert into idempotency_keys select decode(n::text, 'escape'), '', 202, '{}', '',"
            " now() - make_interval(hours => n) from generate_series(22, 26) as n"
        )
        owner.execute("set role relay")
        pruned = [
            owner.execute(f"select signpost_prune_{what}(100)").fetchone()
            for what in ("limits", "idempotency_keys", "limits")
        ]
        owner.execute("reset role")
        stored = owner.execute("select count(*) from idempotency_keys").fetchone()
    assert (pruned, stored) == ([(1,), (3,), (0,)], (2,))
    assert limiter.time_until_admitted(ADA) == timedelta(0)


def test_every_limit_has_a_name_a_subject_and_a_default() -> None:
    assert {limit.value: (rule.per.value, rule.default) for limit, rule in RULES.items()} == {
        "registrations_per_network": ("network", "20/minute"),
        "registrations_per_address": ("address", "5/hour"),
        "organizations_per_network": ("network", "10/day"),
        "organizations_in_total": ("service", "100/day"),
        "invitations_per_user": ("user", "50/day"),
        "invitations_per_organization": ("organization", "200/day"),
        "invitations_per_address": ("address", "5/day"),
        "resends_per_address": ("address", "5/day"),
        "code_tries_per_address": ("address", "10/day"),
        "failed_logins_per_network": ("network", "10/minute"),
        "failed_logins_per_address": ("address", "5/5 minutes"),
        "wrong_passwords_per_user": ("user", "5/5 minutes"),
        "changes_per_user": ("user", "10/day"),
        "resets_per_network": ("network", "20/minute"),
        "resets_per_address": ("address", "5/hour"),
    }
    assert RULES.keys() == set(Limit)


def test_headers_show_networks_and_what_is_reached() -> None:
    network, address = Limit.REGISTRATIONS_PER_NETWORK, Limit.REGISTRATIONS_PER_ADDRESS
    shown = [
        Tally(network, Window(20, 60), is_admitted=True, left=19, seconds=7),
        Tally(network, Window(99, 3600), is_admitted=True, left=9, seconds=8),
    ]
    hidden, reached = (
        Tally(address, Window(9, 60), is_admitted=True, left=4, seconds=9),
        Tally(address, Window(5, 3600), is_admitted=False, left=0, seconds=30),
    )
    assert limit_headers([*shown, hidden, reached]) == {
        "RateLimit-Policy": '"registrations_per_network_60";q=20;w=60, "registrations_per_network_3600";q=99;w=3600, '
        '"registrations_per_address";q=5;w=3600',
        "RateLimit": '"registrations_per_network_60";r=19;t=7, "registrations_per_network_3600";r=9;t=8, '
        '"registrations_per_address";r=0;t=30',
    }
    assert limit_headers([hidden]) == {}
