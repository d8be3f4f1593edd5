import json
from collections.abc import Callable
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from devstack.cluster import Cluster
from operator_console.cli import main
from outbox_relay.model import Dead, Failure, FailureClass
from shared.ids import uuid7
from shared.vocabulary import WAKE_CHANNEL, DeadReason
from tests.support.databases import Database, fresh_database
from tests.support.outbox import Outbox

Outboxctl = Callable[..., Result]
REFUSED = Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 <ada@example.org>: no such user")


@pytest.fixture
def outboxctl(database: Database) -> Outboxctl:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), env={"DATABASE_URL": database.console_url})

    return run


def a_dead_message(outbox: Outbox, **columns: str) -> str:
    outbox.put(**columns)
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.REJECTED, REFUSED))])
    return str(message.id)


def a_token(outbox: Outbox, *, expires_at: str, channel: str = "email", key_id: str = "k1") -> UUID:
    """Add a token for the one user, which the first call adds."""
    outbox.execute(
        "insert into users (id, email, email_canonical, phone, password_hash, locale)"
        " select gen_random_uuid(), 'ada@example.org', 'ada@example.org', '+33612345678', 'x', 'en'"
        " where not exists (select from users)"
    )
    [(token_id,)] = outbox.execute(
        "insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, created_at, expires_at)"
        " select gen_random_uuid(), id, 'activation', %s, %s, 0,"
        f" {expires_at} - interval '1 h', {expires_at} from users returning id",
        channel,
        key_id,
    )
    return UUID(str(token_id))


def a_dead_message_whose_token_has_expired(outbox: Outbox) -> str:
    token_id = a_token(outbox, expires_at="now() - interval '1 hour'")
    return a_dead_message(
        outbox, user_id="(select id from users)", token_id=f"'{token_id}'", expires_at="now() + interval '1 hour'"
    )


def test_list_shows_dead_messages_with_masked_recipients(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message(outbox)
    outbox.put()
    result = outboxctl("list", "--status", "dead", "--json")
    [line] = result.stdout.splitlines()
    shown = json.loads(line)
    assert (shown["id"], shown["dead_reason"], shown["recipient"]) == (message_id, "rejected", "a…@example.org")
    assert shown["attempt"] == 1


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 4),
        (["--status", "pending"], 3),
        (["--channel", "sms"], 1),
        (["--channel", "provision"], 1),
        (["--template", "organization"], 1),
        (["--dead-reason", "rejected"], 1),
        (["--dead-reason", "expired"], 0),
        (["--template", "activation", "--limit", "2"], 2),
    ],
)
def test_list_filters(outbox: Outbox, outboxctl: Outboxctl, arguments: list[str], count: int) -> None:
    a_dead_message(outbox)
    outbox.put()
    outbox.put(channel="sms", recipient="'+33612345678'")
    outbox.put(channel="provision", template="'organization'")
    assert len(outboxctl("list", *arguments).stdout.splitlines()) == count


def test_status_counts_provisioning_messages(outbox: Outbox, outboxctl: Outboxctl) -> None:
    outbox.put(count=2, channel="provision", template="'organization'")
    backlog = {one["channel"]: one for one in json.loads(outboxctl("status", "--json").stdout)["backlog"]}
    assert (backlog["provision"]["due"], backlog["email"]["due"]) == (2, 0)


def test_show_lists_attempts_without_the_address(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message(outbox)
    shown = json.loads(outboxctl("show", message_id, "--json").stdout)
    [attempt] = shown["attempts"]
    assert attempt["error"] == "550 5.1.1 <a…@example.org>: no such user"
    assert "ada@" not in outboxctl("show", message_id).stdout


def test_values_of_a_newer_release_are_shown_unchanged(outbox: Outbox, outboxctl: Outboxctl) -> None:
    [message_id] = outbox.put(
        template="'goodbye'", locale="'eo'", status="'dead'", dead_reason="'bored'", settled_at="now()"
    )
    listed = json.loads(outboxctl("list").stdout)
    assert (listed["template"], listed["dead_reason"]) == ("goodbye", "bored")
    assert "goodbye" in outboxctl("show", str(message_id)).stdout
    assert outboxctl("requeue", str(message_id), "--reason", "why not").exit_code == 0


def test_requeue_resets_a_dead_message_to_its_enqueued_state(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message(outbox)
    result = outboxctl("requeue", message_id, "--reason", "mailbox exists now")
    assert result.exit_code == 0, result.output
    [claimed] = outbox.claim()
    assert (str(claimed.id), claimed.attempt, claimed.lost_leases) == (message_id, 0, 0)


@pytest.mark.parametrize("is_bulk", [False, True])
def test_requeue_wakes_the_relays(outbox: Outbox, outboxctl: Outboxctl, *, is_bulk: bool) -> None:
    message_id = a_dead_message(outbox)
    with outbox.database.connect() as relay:
        relay.execute(f"listen {WAKE_CHANNEL}")
        which = ("--all", "--yes") if is_bulk else (message_id,)
        outboxctl("requeue", *which, "--reason", "mailbox exists now")
        assert len(list(relay.notifies(timeout=60, stop_after=1))) == 1


def test_requeue_adds_an_audit_row(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message(outbox)
    outboxctl("requeue", message_id, "--reason", "mailbox exists now")
    [action] = json.loads(outboxctl("show", message_id, "--json").stdout)["operator_actions"]
    assert (action["action"], action["reason"]) == ("requeue", "mailbox exists now")
    assert action["operator"]


def test_requeue_creates_a_token_if_none_is_valid(outbox: Outbox, outboxctl: Outboxctl) -> None:
    outboxctl("requeue", a_dead_message_whose_token_has_expired(outbox), "--reason", "too late")
    assert outbox.claim()
    # With the newest message's key: the old one, k1, may have been removed.
    assert outbox.execute(
        "select t.attempts_left, t.purpose, t.key_id, m.payload->>'key_id', t.expires_at = m.expires_at,"
        " t.expires_at - now() between '59 minutes' and '1 hour'"
        " from tokens t join outbox_messages m on m.token_id = t.id"
    ) == [(5, "activation", "test", "test", True, True)]


def test_a_new_token_has_the_lifetime_of_one_that_no_resend_shortened(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message_whose_token_has_expired(outbox)
    outbox.execute("update tokens set created_at = expires_at - interval '5 minutes'")
    a_token(outbox, expires_at="now() - interval '1 minute'")
    outboxctl("requeue", message_id, "--reason", "too late")
    assert outbox.execute(
        "select t.expires_at - now() between '59 minutes' and '1 hour'"
        " from tokens t join outbox_messages m on m.token_id = t.id"
    ) == [(True,)]


def test_requeue_uses_the_newer_code_of_a_resend(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message_whose_token_has_expired(outbox)
    newer = a_token(outbox, expires_at="now() + interval '30 minutes'", key_id="k2")
    outboxctl("requeue", message_id, "--reason", "mailbox exists now")
    assert outbox.execute(
        "select t.id, m.payload, t.expires_at = m.expires_at from tokens t join outbox_messages m on m.token_id = t.id"
    ) == [(newer, {"name": "Ada", "key_id": "k2"}, True)]
    assert outbox.execute("select count(*) from tokens") == [(2,)]


def test_requeue_uses_no_code_of_another_channel(outbox: Outbox, outboxctl: Outboxctl) -> None:
    message_id = a_dead_message_whose_token_has_expired(outbox)
    a_token(outbox, expires_at="now() + interval '30 minutes'", channel="sms")
    outboxctl("requeue", message_id, "--reason", "mailbox exists now")
    assert outbox.execute("select t.channel from tokens t join outbox_messages m on m.token_id = t.id") == [("email",)]


def test_requeue_refuses_a_superseded_message(outbox: Outbox, outboxctl: Outboxctl) -> None:
    [message_id] = outbox.put(status="'dead'", dead_reason="'superseded'", settled_at="now()")
    result = outboxctl("requeue", str(message_id), "--reason", "impatience")
    assert result.exit_code == 1
    assert "is superseded: a newer message replaced it, or its registration has ended" in result.stderr
    assert outbox.claim() == []
    assert outbox.execute("select * from operator_actions") == []


def test_requeue_keeps_a_valid_token(outbox: Outbox, outboxctl: Outboxctl) -> None:
    token_id = a_token(outbox, expires_at="now() + interval '1 hour'")
    message_id = a_dead_message(outbox, token_id=f"'{token_id}'")
    outboxctl("requeue", message_id, "--reason", "mailbox exists now")
    [claimed] = outbox.claim()
    assert claimed.token_id == token_id


def test_requeue_refuses_a_pending_message_and_changes_nothing(outbox: Outbox, outboxctl: Outboxctl) -> None:
    [message_id] = outbox.put(due_at="now() + interval '1 hour'")
    result = outboxctl("requeue", str(message_id), "--reason", "impatience")
    assert result.exit_code == 1
    assert result.stderr == f"outboxctl: message {message_id} is pending: only a dead message can be requeued\n"
    assert outbox.claim() == []
    assert outbox.execute("select * from operator_actions") == []


@pytest.mark.parametrize("arguments", [["show"], ["requeue", "--reason", "why not"]])
def test_an_unknown_message_is_an_error(outboxctl: Outboxctl, arguments: list[str]) -> None:
    unknown = str(uuid7())
    result = outboxctl(*arguments, unknown)
    assert (result.exit_code, result.stderr) == (1, f"outboxctl: message {unknown} does not exist\n")


@pytest.mark.parametrize(
    "arguments", [["list", "--status", "lost"], ["show", "7"], ["list", "--limit", "0"], ["requeue", str(uuid7())]]
)
def test_wrong_usage_exits_2(outboxctl: Outboxctl, arguments: list[str]) -> None:
    assert outboxctl(*arguments).exit_code == 2


def test_missing_settings_exit_2_with_their_names() -> None:
    result = CliRunner().invoke(main, ["list"], env={"DATABASE_URL": ""})
    assert (result.exit_code, result.stderr) == (2, "settings: DATABASE_URL is not set\n")


def test_an_unavailable_database_is_reported_in_one_line() -> None:
    url = "postgresql+psycopg://console:hush@127.0.0.1:1/nowhere"
    result = CliRunner().invoke(main, ["list"], env={"DATABASE_URL": url})
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "hush" not in result.output


def test_a_database_without_our_tables_is_reported_in_one_line(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        result = CliRunner().invoke(main, ["list"], env={"DATABASE_URL": empty.owner_url})
    assert result.exit_code == 1
    assert result.stderr == (
        "outboxctl: the database lacks what this release needs (UndefinedTable): run `api-service migrate`\n"
    )


def test_a_login_without_rights_is_reported_in_one_line(database: Database) -> None:
    result = CliRunner().invoke(main, ["show", str(uuid7())], env={"DATABASE_URL": database.api_url})
    assert result.exit_code == 1
    assert result.stderr == (
        "outboxctl: this login may not do that (InsufficientPrivilege): use a member of signpost_console\n"
    )


def test_the_help_of_list_says_that_a_pipe_gets_json(outboxctl: Outboxctl) -> None:
    assert "a pipe gets JSON lines" in " ".join(outboxctl("list", "--help").stdout.split())
