"""The output on a terminal of 80 columns."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.consoles import operators_token
from tests.support.databases import Database, fresh_database
from tests.support.operators import put_dead
from tests.support.outbox import Outbox

COLUMNS = 80
STYLES = re.compile(r"\x1b\[[0-9;]*m")
MARK = "-- next --"
WORDS = "550 5.1.1 <ada@example.org>: Recipient address [bold]rejected[/bold]: User unknown in local recipient table"
COMMANDS = (["list", "--status", "dead"], ["groups"], ["status"], ["tokens", "list"], ["bulk", "list"], ["audit"])
# One process for all commands, because its start takes longest.
RUN = f"""
from operator_console.cli import main
for arguments in {COMMANDS!r}:
    main(arguments, standalone_mode=False)
    print({MARK!r}, flush=True)
"""


@pytest.fixture(scope="module")
def scene(cluster: Cluster) -> Iterator[tuple[Database, str]]:
    with fresh_database(cluster) as database:
        outbox = Outbox(database)
        [message_id] = put_dead(
            outbox,
            provider="'smtp://mail.example.org:587'",
            last_error=f"'{WORDS}'",
            settled_at="'2030-02-01 10:00:07+00'",
        )
        operators_token(database)
        outbox.execute(
            "insert into relays (id, host, version, channels, batch_size, connections, started_at)"
            " values (gen_random_uuid(), 'one.example.net', '0.1.0', '{email,sms}', 500, 8, '2030-02-01 09:00:00+00')"
        )
        yield database, str(message_id)


@pytest.fixture(scope="module")
def screens(scene: tuple[Database, str]) -> dict[str, str]:
    """The output of each command, by its first words."""
    database, _ = scene
    shown = at_a_terminal(database)
    return {" ".join(words[:2]): text for words, text in zip(COMMANDS, shown.split(MARK), strict=False)}


def test_nothing_is_truncated_at_80_columns(screens: dict[str, str], scene: tuple[Database, str]) -> None:
    _, message_id = scene
    listed = screens["list --status"]
    for value in (message_id, "rejected", "activation", "a…@example.org", "recipient"):
        assert value in listed
    assert [line for text in screens.values() for line in text.splitlines() if len(line.rstrip()) > COLUMNS] == []


def test_times_are_shown_to_the_second_in_utc(screens: dict[str, str]) -> None:
    assert "2030-02-01 10:00:07Z" in " ".join(screens["groups"].split())
    assert "2030-02-01 09:00:00Z" in screens["status"]


def test_brackets_in_replies_are_not_markup(screens: dict[str, str]) -> None:
    assert "[bold]rejected[/bold]" in screens["groups"]


def test_lists_in_a_row_are_comma_separated(screens: dict[str, str]) -> None:
    assert "read, act, reveal" in screens["tokens list"]
    assert "email, sms" in screens["status"]


def test_the_audit_shows_words_instead_of_json(screens: dict[str, str]) -> None:
    shown = " ".join(screens["audit"].split())
    assert "name ada, scopes read, act, reveal" in shown
    assert not set("{}[]\"'") & set(shown)


def test_one_relay_is_counted_in_the_singular(screens: dict[str, str]) -> None:
    assert "\n1 relay alive\n" in screens["status"]


def test_an_empty_list_shows_none(screens: dict[str, str]) -> None:
    assert screens["bulk list"].strip() == "none"


def at_a_terminal(database: Database) -> str:
    """Run the commands on a terminal; return their output without colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = os.environ | {"DATABASE_URL": database.console_url, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=theirs, stdin=theirs) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: read_some(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    return STYLES.sub("", shown.decode().replace("\r\n", "\n"))


def read_some(terminal: int) -> bytes:
    """Return the available output, or nothing after the writer has closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
