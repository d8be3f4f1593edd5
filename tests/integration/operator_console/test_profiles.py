"""`outboxctl users profile` shows and sets the fields that only operators set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import Result

from tests.support.databases import Database, is_refused
from tests.support.operators import a_user, outboxctl
from tests.support.outbox import Outbox
from tests.support.profiles import GIVEN, SCHEMA

BECAUSE = ("--reason", "promoted")
Run = Callable[..., Result]


@pytest.fixture
def ada(outbox: Outbox) -> UUID:
    user_id = UUID(a_user(outbox, status="active").strip("'"))
    outbox.execute("update users set profile = %s", json.dumps(GIVEN))
    return user_id


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(SCHEMA))
    return lambda user_id, *options: outboxctl(
        database, "users", "profile", str(user_id), *options, PROFILE_SCHEMA=str(file)
    )


def profile_of(outbox: Outbox, user_id: UUID) -> dict[str, Any]:
    [(profile,)] = outbox.execute("select profile from users where id = %s", user_id)
    return dict(profile)


def test_an_operator_sets_shows_and_removes_a_field(run: Run, outbox: Outbox, ada: UUID) -> None:
    assert json.loads(run(ada).stdout) == {}
    assert json.loads(run(ada, "--set", "role=manager", *BECAUSE).stdout) == {"role": "manager"}
    assert json.loads(run(ada, "--set-json", 'role="member"', *BECAUSE).stdout) == {"role": "member"}
    assert json.loads(run(ada).stdout) == {"role": "member"}
    assert profile_of(outbox, ada) == GIVEN | {"role": "member"}
    assert json.loads(run(ada, "--unset", "role", *BECAUSE).stdout) == {}
    assert profile_of(outbox, ada) == GIVEN


def test_a_change_is_audited_by_the_names_of_fields_without_values(run: Run, outbox: Outbox, ada: UUID) -> None:
    run(ada, "--set", "role=manager", *BECAUSE)
    assert outbox.execute("select action, reason, before, after from operator_actions") == [
        ("change_profile", "promoted", {"user_id": str(ada), "fields": ["role"]}, None)
    ]


WRONG = [
    (("--set", "role=owner"), "invalid_choice at #/role"),
    (("--set-json", "role=1e999"), "out_of_range at #/role"),
    (("--set-json", 'role="\\ud800"'), "control_character at #/role"),
    (("--set", f"role={'x' * 5000}"), "too_large at #"),
    (("--set", "plan=gold"), "'plan'"),
    (("--unset", "first_name"), "'first_name'"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG)
def test_a_wrong_change_is_rejected(
    run: Run, outbox: Outbox, ada: UUID, options: tuple[str, ...], expected: str
) -> None:
    result = run(ada, *options, *BECAUSE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert expected in result.stderr
    assert profile_of(outbox, ada) == GIVEN
    assert outbox.execute("select from operator_actions") == []


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "role=manager"),
        ("--set", "role", *BECAUSE),
        ("--set-json", "role=manager", *BECAUSE),
        ("--set-json", "role=null", *BECAUSE),
        ("--set", "role=manager", "--unset", "role", *BECAUSE),
        BECAUSE,
    ],
)
def test_wrong_usage_is_explained(run: Run, ada: UUID, options: tuple[str, ...]) -> None:
    assert run(ada, *options).exit_code == 2


def test_an_unknown_user_is_reported(run: Run) -> None:
    unknown = uuid4()
    for options in ((), ("--set", "role=manager", *BECAUSE)):
        assert run(unknown, *options).stderr == f"outboxctl: user {unknown} does not exist\n"


def test_a_profile_that_its_user_must_correct_does_not_block_operators(run: Run, outbox: Outbox, ada: UUID) -> None:
    outdated = {"first_name": "", "nickname": None}
    outbox.execute("update users set profile = %s", json.dumps(outdated))
    assert run(ada, "--set", "role=manager", *BECAUSE).exit_code == 0
    assert profile_of(outbox, ada) == outdated | {"role": "manager"}


def test_the_command_needs_the_schema(database: Database) -> None:
    result = outboxctl(database, "users", "profile", str(uuid4()), PROFILE_SCHEMA="")
    assert (result.exit_code, result.stderr) == (2, "settings: PROFILE_SCHEMA is not set\n")


@pytest.mark.parametrize(
    "statement",
    [
        "select email, full_name from users",
        "update users set full_name = 'Eve'",
        "update users set status = 'active'",
        "delete from users",
    ],
)
def test_the_consoles_login_has_no_other_right_on_users(database: Database, statement: str) -> None:
    assert is_refused(database.console_url, statement)
