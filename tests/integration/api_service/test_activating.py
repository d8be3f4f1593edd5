from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from api_service.services import EXTENSION
from api_service.use_cases.activate import lock_contenders, retire_others
from api_service.use_cases.tokens import living_tokens_of
from shared.models import Token
from shared.secrets import SecretKeys, code_for, link_token_for
from shared.vocabulary import Channel
from tests.support.api import WRONG_CODE, ApiUnderTest
from tests.support.keys import KEY

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


def test_the_code_activates_and_proves_only_its_address(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)

    response = api.activate(registration_id)

    assert (response.status_code, response.json["status"]) == (200, "active")
    user, [token] = api.user(registration_id), api.tokens(registration_id)
    assert user.status == "active"
    assert user.activated_at == user.email_verified_at == token.used_at is not None
    assert user.phone_verified_at is None
    assert api.look_up(registration_id).json["status"] == "active"


def test_a_code_sent_by_sms_proves_the_number_only(api: ApiUnderTest) -> None:
    registration_id = api.activated(**BOTH, channel="sms")

    user = api.user(registration_id)
    assert user.phone_verified_at == user.activated_at is not None
    assert user.email_verified_at is None


def test_the_link_activates(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    assert api.activate_by_link(api.link_token(registration_id)).status_code == 200
    assert api.user(registration_id).status == "active"


def test_activation_supersedes_the_pending_code(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    assert api.activate_by_link(api.link_token(registration_id)).status_code == 200

    states = {message.template: (message.status, message.dead_reason) for message in api.messages(registration_id)}
    assert states == {"activation": ("dead", "superseded"), "welcome": ("pending", None)}


def test_a_code_may_contain_spaces(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    code = api.code(registration_id)

    assert api.activate(registration_id, f" {code[:3]} {code[3:]} ").status_code == 200


def test_a_code_and_a_link_work_once(api: ApiUnderTest) -> None:
    registration_id = api.activated()

    for response in (api.activate(registration_id), api.activate_by_link(api.link_token(registration_id))):
        assert (response.status_code, response.json["code"]) == (400, "invalid_or_expired")


def test_wrong_unknown_and_expired_codes_get_the_same_response(api: ApiUnderTest) -> None:
    wrong, expired, expired_link = api.registered(), api.registered(), api.registered()
    api.rows("update tokens set expires_at = now() where user_id in (%s, %s)", expired, expired_link)
    tokenless = link_token_for(uuid4(), KEY)
    forged = link_token_for(api.tokens(wrong)[0].id, bytes(32))

    responses = [
        api.activate(wrong, WRONG_CODE),
        api.activate(expired),
        api.activate(uuid4(), "123456"),
        api.activate_by_link(api.link_token(expired_link)),
        api.activate_by_link(tokenless),
        api.activate_by_link(forged),
        api.activate_by_link(api.link_token(wrong) + "="),
        api.activate_by_link("not a token"),
        api.activate_by_link("é.\0"),
    ]

    reported = [response.json | {"request_id": None} for response in responses]
    assert {response.status_code for response in responses} == {400}
    assert reported == [reported[0]] * len(reported)
    assert reported[0]["code"] == "invalid_or_expired"
    assert api.rows("select 1 from users where status <> 'pending'") == []


def test_five_wrong_codes_exhaust_the_token(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    statuses = [api.activate(registration_id, WRONG_CODE).status_code for _ in range(6)]
    right = api.activate(registration_id)

    assert statuses == [400] * 5 + [429]
    assert (right.status_code, right.json["code"]) == (429, "too_many_attempts")
    assert api.tokens(registration_id)[0].attempts_left == 0
    assert api.user(registration_id).status == "pending"


def test_the_fifth_attempt_still_counts(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    for _ in range(4):
        api.activate(registration_id, WRONG_CODE)

    assert api.activate(registration_id).status_code == 200


def test_concurrent_guesses_each_cost_an_attempt(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    body = {"registration_id": str(registration_id), "code": WRONG_CODE}

    with ThreadPoolExecutor(12) as crowd:
        statuses = list(
            crowd.map(lambda _: api.app.test_client().post("/v1/activations", json=body).status_code, range(12))
        )

    assert sorted(statuses) == [400] * 5 + [429] * 7


def test_a_link_still_works_after_too_many_wrong_codes(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    for _ in range(6):
        api.activate(registration_id, WRONG_CODE)

    assert api.activate_by_link(api.link_token(registration_id)).status_code == 200


def test_a_decoy_responds_like_any_other_token_and_never_activates(api: ApiUnderTest) -> None:
    holder = api.activated()
    decoy = api.registered()

    right = api.activate(decoy)
    by_link = api.activate_by_link(api.link_token(decoy))
    guesses = [api.activate(decoy, WRONG_CODE).status_code for _ in range(5)]

    assert (right.status_code, right.json["code"]) == (400, "invalid_or_expired")
    assert (by_link.status_code, by_link.json["code"]) == (400, "invalid_or_expired")
    assert guesses == [400] * 4 + [429]
    assert (api.user(decoy).status, api.user(holder).status) == ("pending", "active")


def test_activating_retires_other_pending_users_of_the_address(api: ApiUnderTest) -> None:
    first, second = api.registered(email="Ada@example.org"), api.registered(**BOTH)
    neighbour = api.registered(email="bob@example.org")

    assert api.activate(first).status_code == 200

    assert api.user(second).status == "retired"
    assert api.user(neighbour).status == "pending"
    late = api.activate(second)
    assert (late.status_code, late.json["code"]) == (400, "invalid_or_expired")
    assert api.tokens(second)[0].used_at is None


def test_a_retired_registration_looks_like_a_pending_one(api: ApiUnderTest) -> None:
    first, second = api.registered(), api.registered()
    before = api.look_up(second).json
    api.activate(first)

    assert api.look_up(second).json == before


def test_an_address_proven_concurrently_makes_a_code_invalid(api: ApiUnderTest) -> None:
    """Another registration activates after the pending ones were locked."""
    registration_id = api.registered()
    holder = api.registered(email="other@example.org")
    api.activate(holder)
    api.rows("update users set email = 'ada@example.org', email_canonical = 'ada@example.org' where id = %s", holder)

    response = api.activate(registration_id)

    assert (response.status_code, response.json["code"]) == (400, "invalid_or_expired")
    assert api.user(registration_id).status == "pending"
    assert api.tokens(registration_id)[0].used_at is None


def test_many_pending_registrations_do_not_block_the_owner(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    api.rows(
        "insert into users (id, email, email_canonical, password_hash, locale)"
        " select gen_random_uuid(), 'ada@example.org', 'ada@example.org', '', 'en' from generate_series(1, 70000)"
    )

    assert api.activate(registration_id).status_code == 200
    assert api.rows("select status, count(*) from users group by status order by status") == [
        ("active", 1),
        ("retired", 70_000),
    ]


def test_an_activation_does_not_wait_for_later_registrations(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    with api.app.extensions[EXTENSION].sessions.begin() as session, api.database.connect() as elsewhere:
        user, _is_contested = lock_contenders(session, session.get_one(Token, api.tokens(registration_id)[0].id))
        late = api.registered()
        with elsewhere.transaction():
            elsewhere.execute("select 1 from users where id = %s for update", [late])
            session.execute(text("set local lock_timeout = 1000"))
            retire_others(session, user, Channel.EMAIL)

    assert api.user(late).status == "pending"


@pytest.mark.parametrize("_round", range(3))
def test_exactly_one_of_concurrent_activations_succeeds(api: ApiUnderTest, _round: int) -> None:
    registrations = [api.registered() for _ in range(4)]
    codes = {registration_id: api.code(registration_id) for registration_id in registrations}
    start = Barrier(len(registrations))

    def activate(registration_id: UUID) -> int:
        client = api.app.test_client()
        body = {"registration_id": str(registration_id), "code": codes[registration_id]}
        start.wait()
        return client.post("/v1/activations", json=body).status_code

    with ThreadPoolExecutor(len(registrations)) as crowd:
        statuses = list(crowd.map(activate, registrations))

    assert sorted(statuses) == [200, 400, 400, 400]
    assert sorted(api.user(registration_id).status for registration_id in registrations) == [
        "active",
        "retired",
        "retired",
        "retired",
    ]


def test_a_code_works_with_a_rotated_key_and_not_with_a_removed_one(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    token = api.tokens(registration_id)[0]
    gone = SecretKeys({"gone": bytes([7]) * 32})["gone"]
    api.rows("update tokens set key_id = 'gone' where id = %s", token.id)

    assert api.activate(registration_id, code_for(token.id, gone)).status_code == 400
    assert api.activate(registration_id, code_for(token.id, KEY)).status_code == 400


@pytest.mark.parametrize("spelt", [str.lower, str.upper])
def test_an_id_is_case_insensitive(api: ApiUnderTest, spelt: Callable[[str], str]) -> None:
    registration_id = api.registered(email="ada@example.org")
    body = {"registration_id": spelt(str(registration_id)), "code": api.code(registration_id)}

    assert api.client.get(f"/v1/registrations/{spelt(str(registration_id))}").status_code == 200
    assert api.client.post("/v1/activations", json=body).status_code == 200


def test_a_token_that_ended_while_the_transaction_waited_is_not_living(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    with api.app.extensions[EXTENSION].sessions.begin() as session:
        assert len(living_tokens_of(session, registration_id)) == 1
        api.rows("update tokens set expires_at = clock_timestamp()")
        assert living_tokens_of(session, registration_id) == []
