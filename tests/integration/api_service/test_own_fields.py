"""Own fields by PROFILE_SCHEMA: the life of a profile over HTTP, from the registration to the erasure."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import ADA, Account, problem, signed_in, tables
from tests.support.api import PASSWORD, ApiUnderTest, api_on, shared_api
from tests.support.commands import ROOT
from tests.support.databases import Database
from tests.support.profiles import GIVEN, SCHEMA

OF_EACH_TOKEN = {"iss", "aud", "sub", "sid", "iat", "exp", "jti", "email_verified", "phone_number_verified"}


@pytest.fixture
def profiled(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiUnderTest]:
    file = tmp_path_factory.getbasetemp() / "profile.json"  # one path, so that tests share the app
    file.write_text(json.dumps(SCHEMA))
    with shared_api(database, PROFILE_SCHEMA=str(file)) as api:
        yield api


def api_with(schema: dict[str, Any], database: Database, folder: Path) -> Any:
    file = folder / "profile.json"
    file.write_text(json.dumps(schema))
    return api_on(database, PROFILE_SCHEMA=str(file))


@pytest.fixture
def ada(profiled: ApiUnderTest) -> Account:
    user_id = profiled.activated(email=ADA, full_name="Ada", profile=GIVEN)
    return Account(profiled, user_id, signed_in(profiled))


def violations(response: TestResponse) -> list[tuple[str, str]]:
    assert problem(response) == (422, "validation_failed"), response.text
    return [(error["pointer"], error["code"]) for error in response.json["errors"]]


def claims(access_token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    return decoded


def set_by_operator(api: ApiUnderTest, **fields: Any) -> None:
    api.rows("update users set profile = profile || %s::jsonb", json.dumps(fields))


def test_a_profile_is_registered_shown_changed_exported_and_erased(ada: Account) -> None:
    shown = ada.get("/v1/me").json
    assert (shown["profile"], shown["full_name"], shown["locale"]) == (GIVEN, "Ada", "en")

    patch = {"full_name": "Ada King", "locale": "fr", "profile": {"last_name": "King", "address": {"city": None}}}
    changed = ada.patch("/v1/me", **patch)
    assert changed.status_code == 200
    assert changed.json == ada.get("/v1/me").json
    assert changed.json == shown | {
        "full_name": "Ada King",
        "locale": "fr",
        "profile": GIVEN | {"last_name": "King", "address": {"street": "12 St. James's Square"}},
    }
    assert ada.get("/v1/me/export").json["user"]["profile"] == changed.json["profile"]

    assert "St. James" in tables(ada.api)
    ada.erase(password=PASSWORD)
    assert "St. James" not in tables(ada.api)


def test_a_patch_changes_only_what_it_names(ada: Account) -> None:
    before = ada.get("/v1/me").json
    assert ada.patch("/v1/me").json == before
    assert ada.patch("/v1/me", full_name=None).json == before | {"full_name": None}
    assert ada.patch("/v1/me", profile={}).json == before | {"full_name": None}
    assert ada.patch("/v1/me", profile={"affiliate_id": None}).json["profile"] == {
        name: value for name, value in GIVEN.items() if name != "affiliate_id"
    }


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    ("Ada", [("", "invalid_type")]),
    (None, [("", "invalid_type")]),
    ([GIVEN], [("", "invalid_type")]),
    (GIVEN | {"first_name": 1}, [("/first_name", "invalid_type")]),
    (GIVEN | {"first_name": ""}, [("/first_name", "too_short")]),
    (GIVEN | {"first_name": "a" * 101}, [("/first_name", "too_long")]),
    (GIVEN | {"first_name": "a\0"}, [("/first_name", "control_character")]),
    (GIVEN | {"first_name": "a\u202e"}, [("/first_name", "control_character")]),
    (GIVEN | {"a\0": 1}, [("", "control_character")]),
    (GIVEN | {"affiliate_id": "A-1"}, [("/affiliate_id", "invalid_format")]),
    (GIVEN | {"born_on": "2026-02-30"}, [("/born_on", "invalid_format")]),
    (GIVEN | {"children": -1}, [("/children", "out_of_range")]),
    (GIVEN | {"children": 2**53}, [("/children", "out_of_range")]),
    (GIVEN | {"size": 1e-300}, [("/size", "out_of_range")]),
    (GIVEN | {"contact": "sms"}, [("/contact", "invalid_choice")]),
    (GIVEN | {"either": 1.5}, [("/either", "invalid_value")]),
    (GIVEN | {"nick/name": "a"}, [("/nick~1name", "unknown_field")]),
    (
        GIVEN | {"address": {"city": 1, "planet": "Earth"}},
        [("/address/city", "invalid_type"), ("/address/planet", "unknown_field")],
    ),
    (GIVEN | {"role": "manager"}, [("/role", "set_by_operators")]),
    (GIVEN | {"notes": [[[[["too deep"]]]]]}, [("/notes/0/0/0/0", "too_deep")]),
    (GIVEN | {"notes": ["é" * 2000]}, [("", "too_large")]),
    (GIVEN | {"plan": "é" * 200}, [("", "too_large")]),
]


@pytest.mark.parametrize(("profile", "expected"), WRONG)
def test_a_registration_with_a_wrong_profile_is_rejected(
    profiled: ApiUnderTest, profile: Any, expected: list[tuple[str, str]]
) -> None:
    found = violations(profiled.register(profile=profile))
    assert found == [(f"#/profile{pointer}", code) for pointer, code in expected]
    assert profiled.count_rows() == (0, 0, 0)


@pytest.mark.parametrize(("profile", "expected"), WRONG)
def test_a_patch_with_a_wrong_profile_is_rejected_and_changes_nothing(
    ada: Account, profile: Any, expected: list[tuple[str, str]]
) -> None:
    before = ada.get("/v1/me").json
    found = violations(ada.patch("/v1/me", locale="fr", profile=profile))
    assert found == [(f"#/profile{pointer}", code) for pointer, code in expected]
    assert ada.get("/v1/me").json == before


def test_required_fields_are_required_and_cannot_be_removed(profiled: ApiUnderTest) -> None:
    missing = [("#/profile/first_name", "required")]
    assert violations(profiled.register()) == missing
    assert violations(profiled.register(profile={})) == missing
    ada = Account(profiled, profiled.activated(email=ADA, profile=GIVEN), signed_in(profiled))
    assert violations(ada.patch("/v1/me", profile={"first_name": None})) == missing


def test_small_patches_cannot_grow_a_profile_beyond_its_limit(ada: Account) -> None:
    note = "n" * 900
    assert [ada.patch("/v1/me", profile={f"note_{n}": note}).status_code for n in range(4)] == [200] * 4
    assert violations(ada.patch("/v1/me", profile={"note_4": note})) == [("#/profile", "too_large")]


def test_a_patch_of_other_things_is_rejected(ada: Account) -> None:
    assert violations(ada.patch("/v1/me", locale=None, full_name="", email="eve@example.org")) == [
        ("#/full_name", "too_short"),
        ("#/locale", "invalid_type"),
        ("#/email", "unknown_field"),
    ]
    assert ada.api.client.patch("/v1/me", json={}).status_code == 401


def test_users_can_neither_set_change_nor_remove_fields_of_operators(ada: Account) -> None:
    set_by_operator(ada.api, role="manager")
    for role in ("member", None):
        assert violations(ada.patch("/v1/me", profile={"role": role})) == [("#/profile/role", "set_by_operators")]
    assert ada.patch("/v1/me", profile={"last_name": "King"}).json["profile"]["role"] == "manager"


def test_marked_fields_are_claims_of_every_new_access_token(ada: Account) -> None:
    set_by_operator(ada.api, role="manager")
    started = ada.api.client.post("/v1/sessions", json={"email": ADA, "password": PASSWORD}).json
    refreshed = ada.api.client.post("/v1/sessions/refresh", json={"refresh_token": started["refresh_token"]}).json
    for token in (started["access_token"], refreshed["access_token"]):
        assert claims(token).keys() - OF_EACH_TOKEN == {"role", "plan"}
        assert (claims(token)["role"], claims(token)["plan"]) == ("manager", "free")
    assert claims(ada.access_token).keys() == claims(started["access_token"]).keys() - {"role"}
    activation = ada.api.activate(ada.api.registered(email="mary@example.org", profile=GIVEN)).json
    assert claims(activation["access_token"])["plan"] == "free"


def test_claims_of_an_earlier_schema_that_are_too_large_are_left_out(ada: Account) -> None:
    set_by_operator(ada.api, role="é" * 200)
    token = signed_in(ada.api)
    assert not claims(token).keys() & {"role", "plan"}
    assert Account(ada.api, ada.id, token).is_signed_in()


def test_the_largest_claims_leave_a_token_that_is_accepted(ada: Account) -> None:
    assert ada.patch("/v1/me", profile={"plan": "x" * 1013}).status_code == 200
    token = signed_in(ada.api)
    assert claims(token)["plan"] == "x" * 1013
    assert Account(ada.api, ada.id, token).is_signed_in()


def test_a_profile_that_a_later_schema_rejects_stays_readable_until_the_user_corrects_it(
    ada: Account, tmp_path: Path
) -> None:
    later = SCHEMA | {"properties": {"first_name": {"type": "string"}}, "patternProperties": {}}
    with api_with(later, ada.api.database, tmp_path) as api:
        again = Account(api, ada.id, signed_in(api))
        assert again.get("/v1/me").json["profile"] == GIVEN
        assert again.patch("/v1/me", full_name="A. King").status_code == 200
        stale = [(f"#/profile/{name}", "unknown_field") for name in sorted(GIVEN.keys() - {"first_name"})]
        assert sorted(violations(again.patch("/v1/me", profile={"first_name": "Augusta"}))) == stale
        cleaned = again.patch("/v1/me", profile=dict.fromkeys(GIVEN) | {"first_name": "Augusta"})
        assert cleaned.json["profile"] == {"first_name": "Augusta"}


def test_without_a_schema_a_profile_is_rejected_and_a_stored_one_is_shown(ada: Account) -> None:
    with api_on(ada.api.database) as plain:
        assert violations(plain.register(profile={})) == [("#/profile", "no_profiles")]
        again = Account(plain, ada.id, signed_in(plain))
        assert violations(again.patch("/v1/me", profile={})) == [("#/profile", "no_profiles")]
        assert again.patch("/v1/me", locale="fr").json["locale"] == "fr"
        assert again.get("/v1/me").json["profile"] == GIVEN


def test_a_registration_with_a_taken_address_stores_its_own_profile_only(ada: Account) -> None:
    other = {"first_name": "Eve"}
    responses = [ada.api.register(email=email, profile=other) for email in (ADA, "free@example.org")]
    assert [response.status_code for response in responses] == [202, 202]
    assert [ada.api.user(response.json["id"]).profile for response in responses] == [other, other]
    assert ada.get("/v1/me").json["profile"] == GIVEN
    wrong = [violations(ada.api.register(email=email, profile={})) for email in (ADA, "free@example.org")]
    assert wrong[0] == wrong[1]


def test_a_repeated_registration_gets_the_stored_response_without_the_profile(profiled: ApiUnderTest) -> None:
    body = {"email": ADA, "password": PASSWORD, "profile": GIVEN}
    key = {"Idempotency-Key": "0123456789abcdef"}
    first, again = (profiled.client.post("/v1/registrations", json=body, headers=key) for _ in "12")
    assert (first.json, again.headers["Idempotency-Replayed"]) == (again.json, "true")
    assert "St. James" not in str(profiled.rows("select * from idempotency_keys"))


def test_the_examples_of_the_guide_work(database: Database, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "own-fields.md").read_text()
    [schema] = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    registration, change = (json.loads(body) for body in re.findall(r"-d '(.*?)'\n", guide))
    with api_with(json.loads(schema), database, tmp_path) as api:
        user_id = api.activated(**registration)
        ada = Account(api, user_id, signed_in(api, ADA, registration["password"]))
        assert claims(ada.access_token)["affiliate_id"] == registration["profile"]["affiliate_id"]
        changed = ada.patch("/v1/me", **change).json
        assert changed["full_name"] == change["full_name"]
        assert changed["profile"] == {"first_name": "Ada", "last_name": change["profile"]["last_name"]}
        assert violations(ada.patch("/v1/me", profile={"role": "manager"})) == [("#/profile/role", "set_by_operators")]
        set_by_operator(api, role="manager")
        [statement] = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
        api.rows(statement)
        assert "role" not in ada.get("/v1/me").json["profile"]
