"""PostgreSQL aborts one of two deadlocked transactions, and the API retries it transparently."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from api_service.transactions import MAX_TRIES, in_transaction
from shared.db.engine import engine_url, is_database_unavailable
from tests.support.accounts import ADA, Account, ask_for_reset, signed_in, tokens_for
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest
from tests.support.databases import Database
from tests.support.deadlocks import after_a_deadlock
from tests.support.eventually import eventually

UNDO = text("do $$ begin raise 'gave way' using errcode = '40P01'; end $$")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = create_engine(engine_url(database.api_url))
    yield engine
    engine.dispose()


def give_way_once_at(api: ApiUnderTest, table: str) -> None:
    """Abort the next insert into the table. A sequence remembers it, because its value survives the rollback."""
    api.rows("create sequence tries")
    api.rows(
        "create function give_way_once() returns trigger language plpgsql security definer as"
        " $$ begin if nextval('public.tries') = 1 then raise 'gave way' using errcode = '40P01'; end if;"
        " return new; end $$"
    )
    api.rows(f"create trigger give_way_once before insert on {table} for each row execute function give_way_once()")


def test_an_activation_is_retried_after_a_deadlock(own_api: ApiUnderTest) -> None:
    api = own_api
    registration_id = api.registered()
    link_token = api.link_token(registration_id)
    response = after_a_deadlock(
        api,
        lambda: api.activate_by_link(link_token),
        waits_for=("select from tokens for share", ()),
        locks=("select from users for update", ()),
    )

    assert response.status_code == 200
    assert api.user(registration_id).status == "active"


def test_work_is_tried_three_times_in_new_transactions(engine: Engine) -> None:
    tried: list[Session] = []

    def work(session: Session) -> str:
        tried.append(session)
        if len(tried) < MAX_TRIES:
            session.execute(UNDO)
        return "done"

    assert in_transaction(sessionmaker(engine), work) == "done"
    assert len({id(session) for session in tried}) == MAX_TRIES


def test_three_deadlocks_in_a_row_raise(engine: Engine) -> None:
    tried: list[Session] = []

    def work(session: Session) -> None:
        tried.append(session)
        session.execute(UNDO)

    with pytest.raises(DBAPIError) as undone:
        in_transaction(sessionmaker(engine), work)
    assert len(tried) == MAX_TRIES
    assert is_database_unavailable(undone.value)


def test_work_is_not_retried_after_other_errors(engine: Engine) -> None:
    tried: list[Session] = []

    def work(session: Session) -> None:
        tried.append(session)
        session.execute(text("select 1 / 0"))

    with pytest.raises(DBAPIError):
        in_transaction(sessionmaker(engine), work)
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("ask", "status", "table"),
    [
        (lambda api, ada: api.resend(ada), 202, "outbox_messages"),
        (lambda api, _ada: ask_for_reset(api), 202, "outbox_messages"),
        (lambda api, _ada: api.client.post("/v1/sessions", json={"email": ADA, "password": PASSWORD}), 201, "sessions"),
    ],
    ids=["resending", "asking for a reset", "signing in"],
)
def test_work_is_retried_once_after_a_deadlock(
    api: ApiUnderTest, ask: Callable[[ApiUnderTest, UUID], TestResponse], status: int, table: str
) -> None:
    if table == "sessions":
        api.activated()
    ada = api.registered()
    before = len(api.rows(f"select 1 from {table}"))
    give_way_once_at(api, table)

    assert ask(api, ada).status_code == status
    assert len(api.rows(f"select 1 from {table}")) == before + 1


def test_a_change_of_address_is_retried_after_a_deadlock(api: ApiUnderTest) -> None:
    ada = Account(api, api.activated(), signed_in(api))
    give_way_once_at(api, "outbox_messages")

    response = ada.post("/v1/me/email", email="countess@example.org", password=PASSWORD)

    assert response.status_code == 202
    assert len(tokens_for(api, "address_change")) == 1


def test_a_deadlock_without_a_retry_is_a_retryable_problem(api: ApiUnderTest) -> None:
    with psycopg.connect(api.database.owner_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute(
            "create function give_way() returns trigger language plpgsql as"
            " $$ begin raise 'gave way' using errcode = '40P01'; end $$"
        )
        owner.execute("create trigger give_way before insert on users for each row execute function give_way()")

    response = api.register()

    assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert api.count_rows() == (0, 0, 0)


def try_a_wrong_code(api: ApiUnderTest, registration_id: UUID) -> TestResponse:
    return api.activate(registration_id, WRONG_CODE)


def decline(api: ApiUnderTest, registration_id: UUID) -> TestResponse:
    return api.client.post("/activate/decline", data={"token": api.link_token(registration_id)})


@pytest.mark.parametrize("request_", [try_a_wrong_code, decline], ids=["trying a code", "declining"])
def test_the_tokens_of_a_registration_are_locked_in_the_order_of_ids(
    api: ApiUnderTest, request_: Callable[[ApiUnderTest, UUID], TestResponse]
) -> None:
    registration_id = api.registered(email=ADA, phone="+33612345678", channel="email")
    api.resend(registration_id, channel="sms")
    last, first = UUID(int=2**128 - 1), UUID(int=1)  # the opposite of the order in which the tokens were added
    for token, new_id in zip(reversed(api.tokens(registration_id)), (last, first), strict=True):
        api.rows("update tokens set id = %s where id = %s", new_id, token.id)
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute("select from tokens where id = %s for update", [last])
            waiting = someone.submit(request_, api, registration_id)
            eventually(api.count_waiting)
            assert api.rows("select id from tokens for update skip locked") == []
        assert waiting.result(60).status_code < 500
