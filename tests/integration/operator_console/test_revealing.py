"""Addresses are masked. Revealing one needs a reason, and an audit row is written first."""

import pytest

from tests.support.operators import lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox

WHY = ("--reveal", "--reason", "ada called")


def test_revealing_a_message_shows_its_address_and_adds_an_audit_row(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, last_error="'550 <ada@example.org>?'")
    [masked] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    [shown] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json", *WHY))
    assert (masked["recipient"], shown["recipient"]) == ("a…@example.org", "ada@example.org")
    assert (masked["last_error"], shown["last_error"]) == ("550 <a…@example.org>?", "550 <ada@example.org>?")
    [row] = lines_of(outboxctl(outbox.database, "audit"))
    assert (row["action"], row["reason"], row["message_id"]) == ("reveal", "ada called", str(message_id))


@pytest.mark.parametrize(
    ("channel", "recipient", "reply"),
    [
        ("email", "Ada@example.org", "2.0.0 <ADA@EXAMPLE.ORG> Saved, <Ada@Example.org>"),
        ("sms", "+33612345678", "queued for 33612345678 and +33612345678"),
    ],
)
def test_replies_show_no_address_in_any_spelling(outbox: Outbox, channel: str, recipient: str, reply: str) -> None:
    columns = {"channel": channel, "recipient": f"'{recipient}'"}
    [message_id] = put_dead(outbox, **columns, last_error=f"'{reply}'", provider_message_id=f"'{reply}'")
    [masked] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    for shown in (masked["last_error"], masked["provider_message_id"]):
        assert recipient.strip("+").lower() not in shown.lower()
        assert shown.count("…") == 2


@pytest.mark.parametrize(
    ("channel", "recipient", "reply"),
    [
        (
            "email",
            "ada@example.org",
            "550 5.1.1 <ada.lovelace@exmaple.org>: see /u?to=ada.lovelace%40exmaple.org",
        ),
        ("sms", "+4915112345678", "no route to +49 151 12345678, (0151) 12345678"),
    ],
)
def test_replies_show_no_previous_or_differently_spaced_address(
    outbox: Outbox, channel: str, recipient: str, reply: str
) -> None:
    [message_id] = put_dead(outbox, channel=channel, recipient=f"'{recipient}'")
    outbox.execute("update outbox_messages set last_error = %s", reply)
    [masked] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    assert [part for part in ("lovelace", "12345") if part in masked["last_error"]] == []
    assert masked["last_error"][:6] == reply[:6]


@pytest.mark.parametrize(
    ("channel", "recipient", "reply", "shown"),
    [
        (
            "email",
            "ada@example.org",
            "".join(f"{mark}lovelace@a.example" for mark in "<>\"'();, ")
            + " to:lovelace@b.example to=grace%40b.example",
            "".join(f"{mark}l…@a.example" for mark in "<>\"'();, ") + " to:l…@b.example to=gra…le",
        ),
        ("email", "o''hara@example.org", "550 <O'Hara@example.org>", "550 <o…@example.org>"),
        (
            "sms",
            "+4915112345678",
            "0151 2345678, 0151/2345678, 0151.2345678, 0151-2345678, (0151)2345678, 2345678; not 123456",
            "015…78, 015…78, 015…78, 015…78, (01…78, 234…78; not 123456",
        ),
    ],
)
def test_only_the_addresses_of_a_reply_are_masked(
    outbox: Outbox, channel: str, recipient: str, reply: str, shown: str
) -> None:
    [message_id] = put_dead(outbox, channel=channel, recipient=f"'{recipient}'")
    outbox.execute("update outbox_messages set last_error = %s", reply)
    [masked] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    assert masked["last_error"] == shown


@pytest.mark.parametrize(
    ("channel", "recipient", "before"),
    [("email", "ada@example.org", "ada.lovelace@exmaple.org"), ("sms", "+4915112345678", "+4915187654321")],
)
def test_provider_message_ids_show_no_previous_address(
    outbox: Outbox, channel: str, recipient: str, before: str
) -> None:
    [message_id] = put_dead(outbox, channel=channel, recipient=f"'{recipient}'", provider_message_id=f"'q1 {before}'")
    outbox.execute(
        "insert into operator_actions (operator, action, message_id, reason, before, after)"
        " values ('ada', 'requeue', %s, 'a slip', '{}', '{\"recipient\": \"masked\"}')", message_id
    )  # fmt: skip
    [shown] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    assert shown["provider_message_id"].startswith("q1 ")
    assert [part for part in ("lovelace", "87654321") if part in shown["provider_message_id"]] == []


def test_numeric_provider_message_ids_are_shown(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, channel="sms", recipient="'+4915112345678'", provider_message_id="'20261123000042'")
    [shown] = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))
    assert shown["provider_message_id"] == "20261123000042"


def test_a_running_bulk_action_shows_no_address(outbox: Outbox) -> None:
    outbox.execute("insert into bulk_actions (id, action, operator, reason, wanted, found) values (gen_random_uuid(),"
                   " 'requeue', 'ada', 'mended', '{\"recipient\": \"ada@example.org\"}', 1)")  # fmt: skip
    [shown] = lines_of(outboxctl(outbox.database, "bulk", "list"))
    assert shown["filter"] == {"recipient": "a…@example.org"}


def test_revealing_a_list_records_its_filter_masked(outbox: Outbox) -> None:
    put_dead(outbox)
    [shown] = lines_of(outboxctl(outbox.database, "list", "--recipient", "ada@example.org", *WHY))
    assert shown["recipient"] == "ada@example.org"
    [row] = lines_of(outboxctl(outbox.database, "audit"))
    assert (row["action"], row["before"]) == (
        "reveal",
        {"filter": {"recipient": "a…@example.org"}, "limit": 50},
    )


@pytest.mark.parametrize("command", [("list",), ("show", "00000000-0000-0000-0000-000000000000")])
def test_without_a_reason_nothing_is_revealed(outbox: Outbox, command: tuple[str, ...]) -> None:
    result = outboxctl(outbox.database, *command, "--reveal")
    assert result.exit_code == 2
    assert outbox.execute("select * from operator_actions") == []


def test_nothing_is_revealed_if_the_audit_row_cannot_be_written(outbox: Outbox) -> None:
    put_dead(outbox)
    outbox.execute("revoke insert on operator_actions from signpost_console")
    result = outboxctl(outbox.database, "list", *WHY)
    assert result.exit_code == 1
    assert "ada@" not in result.output
