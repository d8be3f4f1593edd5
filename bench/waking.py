"""What waking the relays costs those who commit: nobody woken, woken after the commit, woken inside the transaction.

The writers are pgbench's, a program in C: sixteen threads of Python would be slower than what they measure.
A listener hears every wake-up, as relays do.
"""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from api_service.notifier import Notifier
from bench.ground import Ground
from devstack.programs import DATABASE
from shared.vocabulary import WAKE_CHANNEL

WRITERS = 16
THREADS = 2
WAKE_SECONDS = 0.001
"""From one committing request's wake-up to the next; the notifier makes one of those that come within 20 ms."""

HEARING_SECONDS = 0.5
ROUND_SECONDS = 1
"""The shortest that pgbench measures: many short rounds say more than few long ones where others use the machine."""
ONE_INSIDE_IN = 3
"""What costs half of all commits needs only one in so many rounds to be seen."""

# A user, a token and a message in one transaction, as a registration has them.
REGISTER = """
begin;
with holder as (
    insert into users (id, email, email_canonical, password_hash, locale)
    select gen_random_uuid(), address, address, 'x', 'en' from (select random() || '@example.org') as made (address)
    returning id, email),
right_to as (
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    select gen_random_uuid(), id, 'activation', 'email', 'k', 5, now() + interval '1 day' from holder
    returning id, user_id)
insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts)
select overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(clock_timestamp())::text, 13) from 1)::uuid,
       'activation', 'email', email, 'en', '{}', user_id, right_to.id, 8
  from holder, right_to;
"""
TRANSACTIONS = re.compile(r"tps = ([0-9.]+)")


@dataclass
class WakingCosts:
    """Transactions a second with nobody woken, and what either way of waking costs of them in per cent."""

    unwoken: list[float] = field(default_factory=list)
    after_commit: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)


def waking_costs(ours: Ground, rounds: int) -> WakingCosts:
    """Have sixteen writers commit in short rounds, every other one of them with nobody woken."""
    ours.empty()
    costs = WakingCosts()
    few = max(1, rounds // ONE_INSIDE_IN)
    ways = ((_woken_after_commit, costs.after_commit, rounds), (_woken_inside, costs.inside, few))
    with _listening(ours):
        costs.unwoken.append(_unwoken(ours))
        for number in range(rounds):
            for measure, found in ((measure, found) for measure, found, most in ways if number < most):
                woken = measure(ours)
                costs.unwoken.append(_unwoken(ours))
                found.append(cost(woken, *costs.unwoken[-2:]))
    return costs


def cost(woken: float, before: float, after: float) -> float:
    """Return what is missing of the mean of the rounds beside it, in per cent: whatever slows down all meets both."""
    return (1 - woken / ((before + after) / 2)) * 100


def _unwoken(ours: Ground) -> float:
    with _waking(_nobody):
        return _rate(ours, REGISTER + "commit;")


def _woken_after_commit(ours: Ground) -> float:
    with closing(Notifier(ours.url("api"))) as notifier, _waking(notifier.wake):
        return _rate(ours, REGISTER + "commit;")


def _woken_inside(ours: Ground) -> float:
    with _waking(_nobody):
        return _rate(ours, f"{REGISTER}notify {WAKE_CHANNEL}; commit;")


def _rate(ours: Ground, script: str) -> float:
    path = Path(ours.folder) / "register.sql"
    # pgbench takes a line for a command.
    path.write_text(" ".join(script.split()).replace("; ", ";\n"))
    options = ("--no-vacuum", f"--client={WRITERS}", f"--jobs={THREADS}", f"--time={ROUND_SECONDS}")
    server = (f"--host={ours.cluster.folder}", f"--port={ours.cluster.port}", "--username=api")
    command = [
        str(ours.cluster.binaries / "pgbench"),
        *options,
        *server,
        f"--file={path}",
        "--protocol=prepared",
        DATABASE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = TRANSACTIONS.search(done.stdout)
    if found is None:
        raise RuntimeError(f"pgbench told no rate: {done.stdout}")
    return float(found[1])


@contextmanager
def _listening(ours: Ground) -> Iterator[None]:
    with ours.connect() as connection:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL)))
        is_over = threading.Event()

        def hear() -> None:
            while not is_over.is_set():
                list(connection.notifies(timeout=HEARING_SECONDS))

        hearing = threading.Thread(target=hear)
        hearing.start()
        try:
            yield
        finally:
            is_over.set()
            hearing.join()


@contextmanager
def _waking(wake: Callable[[], None]) -> Iterator[None]:
    """Call that as often as busy workers of the API would: also nobody, since this thread has its own cost."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.wait(WAKE_SECONDS):
            wake()

    waking = threading.Thread(target=go_on)
    waking.start()
    try:
        yield
    finally:
        is_over.set()
        waking.join()


def _nobody() -> None:
    """Wake nobody."""
