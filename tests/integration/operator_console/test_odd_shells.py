"""`outboxctl` with full disks, closed outputs and arguments that are not text."""

import os
import pwd
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.operators import outboxctl, put_dead
from tests.support.outbox import Outbox

pytestmark = pytest.mark.slow

RUN = [sys.executable, "-c", "from operator_console.cli import main; main()"]


def shelled(outbox: Outbox, *command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DATABASE_URL": outbox.database.console_url, "LOGNAME": "somebody-else"}
    return subprocess.run([*RUN, *command], env=environment, text=True, stderr=subprocess.PIPE, check=False, **options)


def test_a_full_disk_is_reported_in_one_line(outbox: Outbox) -> None:
    put_dead(outbox)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = shelled(outbox, "list", stdout=full)
    assert (ran.returncode, ran.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


def test_actions_continue_without_output_and_record_the_login_name(outbox: Outbox) -> None:
    ids = [str(message_id) for message_id in put_dead(outbox, count=2)]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = shelled(outbox, "discard", *ids, "--reason", "a slip", stdout=full)
    assert ran.stderr.splitlines()[:2] == [f"message {message_id} is discarded" for message_id in ids]
    operator = pwd.getpwuid(os.getuid()).pw_name
    assert outbox.execute("select operator from operator_actions") == [(operator,), (operator,)]


def test_closed_output_causes_no_traceback(outbox: Outbox) -> None:
    ran = shelled(outbox, "status", preexec_fn=lambda: os.close(1))
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--recipient", "--provider", "--cause"])
def test_arguments_that_are_not_utf_8_are_wrong_usage(outbox: Outbox, option: str) -> None:
    ran = outboxctl(outbox.database, "list", option, os.fsdecode(b"\xff"))
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (2, "Error: An argument is not text in UTF-8.")


def test_a_row_id_above_bigint_is_wrong_usage(outbox: Outbox) -> None:
    ran = outboxctl(outbox.database, "audit", "--before", "9" * 20)
    assert (ran.exit_code, "is not in the range" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("list", "--reason", "a look"), "add --reveal"),
        (("list", "--created-after", "yesterday"), "'yesterday' is not a time: write 2026-12-31"),
        (("requeue", "--all", "--reason", "a slip", "--per-minute", "3000000000"), "is not in the range"),
    ],
)
def test_invalid_option_values_are_wrong_usage(outbox: Outbox, command: tuple[str, ...], words: str) -> None:
    ran = outboxctl(outbox.database, *command)
    assert (ran.exit_code, words in ran.stderr) == (2, True)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "rm\x1b[31m", "gnp.\u202eexe"])
@pytest.mark.parametrize("command", ["requeue", "discard", "undo-discard"])
def test_empty_long_and_unprintable_reasons_are_rejected(outbox: Outbox, command: str, reason: str) -> None:
    [message_id] = put_dead(outbox)
    ran = outboxctl(outbox.database, command, str(message_id), "--reason", reason)
    assert (ran.exit_code, "Invalid value for '--reason': it " in ran.stderr) == (2, True)
    assert outbox.execute("select count(*) from operator_actions") == [(0,)]


def test_a_reason_may_have_several_lines_and_is_stripped(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    assert outboxctl(outbox.database, "discard", str(message_id), "--reason", " a slip,\nsays she \n").exit_code == 0
    assert outbox.execute("select reason from operator_actions") == [("a slip,\nsays she",)]


def test_a_failed_connection_is_reported_with_its_cause(outbox: Outbox) -> None:
    ran = outboxctl(replace(outbox.database, name="nowhere"), "status")
    message = "outboxctl: the database does not respond (no such database): check DATABASE_URL and that it runs\n"
    assert (ran.exit_code, ran.stderr) == (1, message)
