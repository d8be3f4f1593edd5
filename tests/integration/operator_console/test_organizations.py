"""Organizations: health checks, losses and repairs of their databases."""

import json
import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from werkzeug.test import TestResponse

from operator_console.actions.tokens import Scope
from operator_console.cli import main
from shared.ids import uuid7
from shared.secrets import tenant_password
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in, operators_token
from tests.support.databases import Database
from tests.support.keys import KEY, SECRET_KEYS

pytestmark = pytest.mark.slow

HOW = {"healthy": None, "lost": "there is no such database", "damaged": "without members", None: None}
BECAUSE = {"reason": "a member called"}


@pytest.fixture
def console(database: Database) -> Iterator[ConsoleUnderTest]:
    with console_on(database) as console:
        yield console


@pytest.fixture
def token(database: Database) -> str:
    return operators_token(database)


def founded(database: Database, health: str | None, *, status: str = "ready", is_decoy: bool = False) -> UUID:
    """Add an organization whose health check of a minute ago had that result."""
    organization_id = uuid7()
    with database.connect() as connection:
        connection.execute(
            "insert into organizations (id, name, status, founder_id, database_name, is_decoy, health, health_error,"
            " revision, tables, size_bytes, checked_at, ready_at, check_due_at)"
            " values (%s, 'Clinic <b>', %s, %s, %s, %s, %s, %s, '0002', 5, 7600000, now() - interval '1 minute',"
            " case when %s = 'ready' then now() end, now() + interval '1 hour')",
            [organization_id, status, uuid4(), f"org_{organization_id.hex}", is_decoy, health, HOW[health], status],
        )
    return organization_id


def repairs(database: Database) -> list[tuple[str, ...]]:
    with database.connect() as connection:
        return connection.execute("select template, recipient from outbox_messages").fetchall()


def test_following_the_links_shows_each_organization_without_decoys_and_planned_ones(
    database: Database, console: ConsoleUnderTest, token: str
) -> None:
    ids = [str(founded(database, "healthy")) for _ in range(5)]
    founded(database, None, is_decoy=True)
    founded(database, None, status="planned")
    seen, path = [], "/v1/organizations?limit=2"
    while path:
        response = console.ask("GET", path, token)
        seen += [one["id"] for one in response.json["organizations"]]
        path = response.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
    assert seen == ids[::-1]


def test_organizations_can_be_filtered_by_health(database: Database, console: ConsoleUnderTest, token: str) -> None:
    lost = founded(database, "lost")
    founded(database, "healthy")
    [one] = console.ask("GET", "/v1/organizations?health=lost", token).json["organizations"]
    assert one | {"checked_at": None, "created_at": None} == {
        "id": str(lost),
        "name": "Clinic <b>",
        "status": "ready",
        "health": "lost",
        "health_error": "there is no such database",
        "revision": "0002",
        "tables": 5,
        "size_bytes": 7_600_000,
        "checked_at": None,
        "created_at": None,
    }
    assert console.ask("GET", "/v1/organizations?health=unwell", token).status_code == 422


def test_a_repair_is_enqueued_once_and_audited(database: Database, console: ConsoleUnderTest, token: str) -> None:
    organization_id = founded(database, "lost")
    responses = [console.ask("POST", f"/v1/organizations/{organization_id}/repair", token, json=BECAUSE) for _ in "12"]
    assert [(response.status_code, response.json["repair"]) for response in responses] == [
        (202, "enqueued"),
        (202, "under_way"),
    ]
    assert repairs(database) == [("organization_repair", str(organization_id))]
    with database.connect() as connection:
        [(action, reason, before, due)] = connection.execute(
            "select action, reason, before, check_due_at <= now() from operator_actions, organizations"
            " where action = 'repair'"
        ).fetchall()
    assert (action, reason, before["health"], due) == ("repair", "a member called", "lost", True)


def test_after_a_failed_repair_operators_can_request_another_and_members_cannot(
    database: Database, console: ConsoleUnderTest, token: str
) -> None:
    organization_id = founded(database, "damaged")
    path = f"/v1/organizations/{organization_id}/repair"
    console.ask("POST", path, token, json=BECAUSE)
    with database.connect() as connection:
        connection.execute(
            "update outbox_messages set status = 'dead', dead_reason = 'rejected', attempt = 1,"
            " settled_at = now() - interval '2 minutes'"
        )
        door = connection.execute("select signpost_enqueue_repair(%s, %s)", [organization_id, uuid7()]).fetchall()
    assert door == [(False,)]
    assert console.ask("POST", path, token, json=BECAUSE).json["repair"] == "enqueued"


def test_a_kept_database_and_a_failed_step_show_their_reasons(
    database: Database, console: ConsoleUnderTest, token: str
) -> None:
    organization_id = founded(database, None, status="provisioning")
    with database.connect() as connection:
        connection.execute(
            "update organizations set status = 'failed', failed_at = now(), kept_because = 'it has been used'"
        )
        connection.execute(
            "insert into organization_steps (organization_id, step, error_class, error)"
            " values (%s, 'migrate', 'content', 'without members')",
            [organization_id],
        )
    shown = outboxctl(database, "show", str(organization_id)).stdout
    assert re.search(r"^kept_because +it has been used$", shown, re.MULTILINE)
    page = console.signed_in(token).get(f"/organizations/{organization_id}").text
    assert "it has been used" in page
    assert "content: without members" in page


def test_a_healthy_database_is_checked_again_and_not_repaired(
    database: Database, console: ConsoleUnderTest, token: str
) -> None:
    organization_id = founded(database, "healthy")
    response = console.ask("POST", f"/v1/organizations/{organization_id}/repair", token, json=BECAUSE)
    assert (response.status_code, response.json["repair"]) == (200, "not_needed")
    assert repairs(database) == []


def test_an_organization_that_was_never_ready_is_not_repaired(
    database: Database, console: ConsoleUnderTest, token: str
) -> None:
    ids = [founded(database, None, status="provisioning"), founded(database, None, is_decoy=True)]
    responses = [console.ask("POST", f"/v1/organizations/{each}/repair", token, json=BECAUSE) for each in ids]
    assert [(response.status_code, response.json["code"]) for response in responses] == [
        (409, "organization_not_ready"),
        (404, "unknown_organization"),
    ]


def test_the_page_shows_losses_and_requests_a_repair(database: Database, console: ConsoleUnderTest, token: str) -> None:
    organization_id = founded(database, "lost")
    with database.connect() as connection:
        connection.execute(
            "insert into organization_losses (id, organization_id, healthy_at, revision, tables, size_bytes)"
            " select gen_random_uuid(), id, checked_at, revision, tables, size_bytes from organizations"
        )
    person = console.signed_in(token)
    listed = person.get("/organizations?health=lost")
    assert "Clinic &lt;b&gt;" in listed.text
    page = person.get(f"/organizations/{organization_id}")
    assert "5 tables, 7.6 MB, at revision 0002" in page.text
    assert "It has not been replaced yet." in page.text
    pressed = person.post(
        f"/organizations/{organization_id}/repair",
        data={"csrf": csrf_in(page), **BECAUSE},
        headers={"Origin": "http://localhost"},
        follow_redirects=True,
    )
    assert "Repair requested." in pressed.text
    assert len(repairs(database)) == 1


def outboxctl(database: Database, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["organizations", *arguments], env={"DATABASE_URL": database.console_url})


def test_the_command_line_shows_and_repairs_the_same(database: Database) -> None:
    organization_id = founded(database, "lost")
    listed = outboxctl(database, "list", "--health", "lost")
    assert json.loads(listed.stdout)["id"] == str(organization_id)
    shown = outboxctl(database, "show", str(organization_id), "--json")
    assert json.loads(shown.stdout)["database_name"] == f"org_{organization_id.hex}"
    repaired = outboxctl(database, "repair", str(organization_id), "--reason", "a member called")
    assert repaired.stdout == f"organization {organization_id} will be repaired\n"
    unseen = outboxctl(database, "check", str(organization_id), "--wait", "0")
    assert (unseen.exit_code, "no relay has checked" in unseen.stderr) == (1, True)
    unknown = outboxctl(database, "show", str(uuid4()))
    assert unknown.exit_code == 1


def test_an_application_gets_credentials_and_renews_the_password(database: Database) -> None:
    organization_id = founded(database, "healthy")
    token = operators_token(database, Scope.CREDENTIALS)
    path = f"/v1/organizations/{organization_id}/credentials"
    with console_on(database, ORGANIZATION_KEYS=SECRET_KEYS) as console:

        def post(path: str, token: str = token) -> TestResponse:
            return console.ask("POST", path, token, json=BECAUSE)

        first = post(path).json
        name = f"org_{organization_id.hex}"
        assert first == {
            "database": name,
            "role": name,
            "password": tenant_password(organization_id, KEY),
            "older_passwords": [],
            "is_being_renewed": False,
        }
        assert post(f"{path}/renew").status_code == 202
        second = post(path).json
        assert second["password"] == tenant_password(organization_id, KEY, 1)
        assert (second["older_passwords"], second["is_being_renewed"]) == ([first["password"]], True)
        again = post(f"{path}/renew")
        assert (again.status_code, again.json["code"]) == (409, "not_renewable")
        operator = operators_token(database, Scope.READ, Scope.ACT, Scope.REVEAL, name="bea")
        assert post(path, operator).status_code == 403
        assert [row["action"] for row in console.ask("GET", "/v1/audit", operator).json["actions"]][1:4] == [
            "get_credentials",
            "renew_password",
            "get_credentials",
        ]
    assert repairs(database) == [("organization_repair", str(organization_id))]


def test_a_removal_takes_the_organization_from_its_members_and_leaves_an_audit_row(
    database: Database, token: str
) -> None:
    organization_id = founded(database, "healthy")
    with database.connect() as connection:
        connection.execute(
            "insert into users (id, status, email, email_canonical, password_hash, locale, organization_id)"
            " select founder_id, 'active', 'a@example.org', 'a@example.org', 'x', 'en', id from organizations"
        )
        connection.execute(
            "insert into organization_members (organization_id, user_id, role)"
            " select id, founder_id, 'owner' from organizations"
        )
        connection.execute("select signpost_renew_password(%s, %s)", [organization_id, uuid7()])
    command = ("remove", str(organization_id), "--reason", "the contract has ended")
    line = (
        f"organization {organization_id}, Clinic <b>: ready, 1 members,"
        f" database org_{organization_id.hex} with 5 tables and 7,600,000 bytes\n"
    )
    dry, unconfirmed = outboxctl(database, *command, "--dry-run"), outboxctl(database, *command)
    assert (dry.exit_code, dry.stdout, unconfirmed.exit_code, unconfirmed.stdout) == (0, line, 2, line)
    assert "add --yes" in unconfirmed.stderr
    query = (
        "select organizations.status, is_removed and drop_forced, (select count(*) from organization_members),"
        " message.status, users.status, users.organization_id is null"
        " from organizations, users, outbox_messages as message"
    )
    with database.connect() as connection:
        assert connection.execute(query).fetchall() == [("ready", False, 1, "pending", "active", False)]
        done = outboxctl(database, *command, "--yes", "--force")
        assert done.exit_code == 0, done.output
        assert connection.execute(query).fetchall() == [("failed", True, 0, "dead", "active", True)]
        before = "select before - 'organization_id' from operator_actions where action = 'remove_organization'"
        assert connection.execute(before).fetchall() == [({"status": "ready", "is_forced": True},)]
    with console_on(database, ORGANIZATION_KEYS=SECRET_KEYS) as console:
        credentials = f"/v1/organizations/{organization_id}/credentials"
        refused = console.ask("POST", credentials, operators_token(database, Scope.CREDENTIALS), json=BECAUSE)
        assert (refused.status_code, refused.json["code"]) == (409, "organization_not_ready")
        page = console.signed_in(token).get(f"/organizations/{organization_id}").text
        assert "<dt>Removed</dt>" in page
        assert "Repair</button>" not in page


def test_all_healthy_databases_get_new_passwords_after_a_change_of_keys(database: Database) -> None:
    healthy, lost = founded(database, "healthy"), founded(database, "lost")
    done = outboxctl(database, "renew-passwords", "--all", "--reason", "new keys")
    assert (done.exit_code, done.stdout) == (0, f"organization {healthy} gets a new password\n")
    refused = outboxctl(database, "renew-passwords", str(lost), "--reason", "new keys")
    assert (refused.exit_code, "is not ready and healthy" in refused.stderr) == (1, True)
    assert repairs(database) == [("organization_repair", str(healthy))]
