"""A bulk action whose process is killed continues at its cursor and rate, without repetition."""

import signal
import time

from tests.support.eventually import eventually
from tests.support.operators import lines_of, outboxctl, put_dead, running_outboxctl
from tests.support.outbox import Outbox

MESSAGES, PER_MINUTE, SLICE = 2_000, 12_000, 200
KILLS = 3
STEPS = "operator_actions, unnest(message_ids) as message (id) where action = 'requeue'"
REQUEUED = f"select count(*), count(distinct message.id) from {STEPS}"
ACTED = "select coalesce(sum(acted), 0) from bulk_actions"
# In any ten seconds, at most the rate and one step may be requeued.
MOST_IN_TEN_SECONDS = f"""
select max(number) from (
    select count(*) over (order by acted_at range between current row and interval '10 s' following) as number
      from {STEPS}) as counted
"""


def test_a_bulk_action_killed_repeatedly_requeues_each_message_once_at_its_rate(outbox: Outbox) -> None:
    put_dead(outbox, count=MESSAGES)
    began = time.monotonic()
    arguments = ["requeue", "--all", "--yes", "--per-minute", str(PER_MINUTE), "--reason", "mended"]
    for _ in range(KILLS):
        with running_outboxctl(outbox.database, *arguments) as process:
            before = outbox.number(ACTED)
            eventually(lambda before=before: outbox.number(ACTED) > before, seconds=90)
            process.kill()
        [bulk] = lines_of(outboxctl(outbox.database, "bulk", "list"))
        arguments = ["bulk", "resume", bulk["id"], "--reason", "its process died"]
    assert outboxctl(outbox.database, *arguments).exit_code == 0
    assert outbox.execute(REQUEUED) == [(MESSAGES, MESSAGES)]
    assert outbox.number("select count(*) from outbox_messages where status = 'pending'") == MESSAGES
    assert outbox.number(MOST_IN_TEN_SECONDS) <= PER_MINUTE / 6 + SLICE
    assert time.monotonic() - began >= (MESSAGES - SLICE) / PER_MINUTE * 60


def test_an_interrupt_stops_a_bulk_action_and_shows_how_to_resume(outbox: Outbox) -> None:
    put_dead(outbox, count=20)
    arguments = ["requeue", "--all", "--yes", "--per-minute", "60", "--reason", "mended"]
    with running_outboxctl(outbox.database, *arguments) as process:
        eventually(lambda: outbox.number(ACTED) > 0)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=30)
    [bulk] = lines_of(outboxctl(outbox.database, "bulk", "list"))
    assert (process.returncode, bulk["status"]) == (1, "stopped")
    assert f"outboxctl bulk resume {bulk['id']}" in output
