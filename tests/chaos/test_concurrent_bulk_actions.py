"""Concurrent actions on the same messages: each message has one outcome, and one audit row."""

import signal
from contextlib import ExitStack

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.operators import lines_of, outboxctl, put_dead, running_outboxctl
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

MESSAGES = 3_000
OUTCOMES = """
select case when status = 'pending' then 'requeue' when dead_reason = 'discarded' then 'discard' end as outcome,
       array_agg(distinct action) as actions, count(distinct message.id) = count(*) as is_each_once, count(*)
  from outbox_messages as message left join operator_actions as audit on message.id = any(message_ids)
 group by outcome order by outcome
"""
PENDING = "select count(*) from outbox_messages where status = 'pending'"
IS_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
ALL = ("--all", "--yes", "--reason", "mended")


def test_concurrent_requeue_and_discard_act_on_each_message_once(outbox: Outbox) -> None:
    put_dead(outbox, count=MESSAGES)
    with ExitStack() as ending:
        # The first action pauses after each step. Then both select the same messages and wait for the lock.
        running = [ending.enter_context(running_outboxctl(outbox.database, "requeue", *ALL, "--per-minute", "12000"))]
        eventually(lambda: outbox.number(PENDING))
        with outbox.database.connect() as holder, holder.transaction():
            holder.execute("lock table outbox_messages in exclusive mode")
            running.append(ending.enter_context(running_outboxctl(outbox.database, "discard", *ALL)))
            eventually(lambda: outbox.number(IS_WAITING) == len(running))
        output = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    outcomes = outbox.execute(OUTCOMES)
    assert sum(count for *_, count in outcomes) == MESSAGES
    assert [(outcome, actions, is_once) for outcome, actions, is_once, _ in outcomes] == [
        (outcome, [outcome], True) for outcome, *_ in outcomes
    ]
    acted = {outcome: count for outcome, *_, count in outcomes}
    for bulk in lines_of(outboxctl(outbox.database, "bulk", "list")):
        assert (bulk["status"], bulk["acted"]) == ("done", acted.get(bulk["action"], 0)), output
        assert bulk["acted"] + bulk["skipped"] == bulk["found"]
    assert acted.keys() == {"requeue", "discard"}, "one of them did it all: this has tested little"


def test_messages_requeued_during_delivery_arrive_once(outbox: Outbox, sink: MailSink) -> None:
    put_dead(outbox, count=MESSAGES, template="'welcome'", expires_at="now() - interval '1 hour'")
    with ExitStack() as ending:
        for _ in range(2):
            ending.enter_context(running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider))
        requeueing = ending.enter_context(running_outboxctl(outbox.database, "requeue", *ALL))
        assert requeueing.communicate(timeout=120) == (f"{MESSAGES} dead messages\n{MESSAGES} requeued\n", "")
        eventually(outbox.is_all_sent, seconds=60)
    assert (len(sink.arrived), sink.arrived.total()) == (MESSAGES, MESSAGES)
    audited = (
        "select count(*), count(distinct id) from (select unnest(message_ids) as id from operator_actions) as step"
    )
    assert outbox.execute(audited) == [(MESSAGES, MESSAGES)]


def test_an_interrupt_during_a_step_stops_the_bulk_action_after_it(outbox: Outbox) -> None:
    put_dead(outbox, count=30)
    with running_outboxctl(outbox.database, "requeue", *ALL, "--per-minute", "600") as process:
        with outbox.database.connect() as holder, holder.transaction():
            holder.execute("lock table outbox_messages in exclusive mode")
            eventually(lambda: outbox.number(IS_WAITING))
            process.send_signal(signal.SIGINT)
        out, output = process.communicate(timeout=30)
    [bulk] = lines_of(outboxctl(outbox.database, "bulk", "list"))
    assert (bulk["status"], bulk["acted"]) == ("stopped", 20)
    message = f"outboxctl: stopped before the end: `outboxctl bulk resume {bulk['id']} --reason …` continues it\n"
    assert (process.returncode, out, output) == (1, "30 dead messages\n20 requeued\n", message)
