"""Bulk acts beside others who are at the same messages: each has one fate, and the audit tells which."""

import signal
from contextlib import ExitStack

from tests.support.desk import lines_of, outboxctl, put_dead, running_outboxctl
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

MESSAGES = 3_000
FATES = """
select case when status = 'pending' then 'requeue' when dead_reason = 'discarded' then 'discard' end as fate,
       array_agg(distinct action) as actions, count(distinct message_id) = count(*) as is_each_once, count(*)
  from outbox_messages as message left join operator_actions as act on act.message_id = message.id
 group by fate order by fate
"""
PENDING = "select count(*) from outbox_messages where status = 'pending'"
IS_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
ALL = ("--all", "--yes", "--reason", "mended")


def test_of_a_requeue_and_a_discard_at_once_each_message_meets_one(outbox: Outbox) -> None:
    put_dead(outbox, count=MESSAGES)
    with ExitStack() as ending:
        # One has had its first step, and rests a second after each; then both pick the same messages, and wait to lock
        # them, when they are let go.
        acting = [ending.enter_context(running_outboxctl(outbox.database, "requeue", *ALL, "--per-minute", "12000"))]
        eventually(lambda: outbox.number(PENDING))
        with outbox.database.connect() as holder, holder.transaction():
            holder.execute("lock table outbox_messages in exclusive mode")
            acting.append(ending.enter_context(running_outboxctl(outbox.database, "discard", *ALL)))
            eventually(lambda: outbox.number(IS_WAITING) == len(acting))
        said = [process.communicate(timeout=120)[0] for process in acting]
    assert [process.returncode for process in acting] == [0, 0]
    fates = outbox.execute(FATES)
    assert sum(count for *_, count in fates) == MESSAGES
    assert [(fate, actions, is_once) for fate, actions, is_once, _ in fates] == [
        (fate, [fate], True) for fate, *_ in fates
    ]
    acted = {fate: count for fate, *_, count in fates}
    for bulk in lines_of(outboxctl(outbox.database, "bulk", "list")):
        assert (bulk["status"], bulk["acted"]) == ("done", acted.get(bulk["action"], 0)), said
        assert bulk["acted"] + bulk["skipped"] == bulk["found"]
    assert acted.keys() == {"requeue", "discard"}, "one of them did it all: this has tested little"


def test_what_is_requeued_while_relays_deliver_arrives_once(outbox: Outbox, sink: MailSink) -> None:
    put_dead(outbox, count=MESSAGES, template="'welcome'", expires_at="now() - interval '1 hour'")
    with ExitStack() as ending:
        for _ in range(2):
            ending.enter_context(running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider))
        requeueing = ending.enter_context(running_outboxctl(outbox.database, "requeue", *ALL))
        assert requeueing.communicate(timeout=120) == (f"{MESSAGES} dead messages\n{MESSAGES} requeued\n", "")
        eventually(outbox.is_all_sent, seconds=60)
    assert (len(sink.arrived), sink.arrived.total()) == (MESSAGES, MESSAGES)
    audited = "select count(*), count(distinct message_id) from operator_actions where action = 'requeue'"
    assert outbox.execute(audited) == [(MESSAGES, MESSAGES)]


def test_an_interrupt_in_the_midst_of_a_step_ends_it_after_that_step_and_says_no_more(outbox: Outbox) -> None:
    put_dead(outbox, count=30)
    with running_outboxctl(outbox.database, "requeue", *ALL, "--per-minute", "600") as process:
        with outbox.database.connect() as holder, holder.transaction():
            holder.execute("lock table outbox_messages in exclusive mode")
            eventually(lambda: outbox.number(IS_WAITING))
            process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    [bulk] = lines_of(outboxctl(outbox.database, "bulk", "list"))
    assert (bulk["status"], bulk["acted"]) == ("stopped", 20)
    told = f"outboxctl: stopped before the end: `outboxctl bulk resume {bulk['id']} --reason …` continues it\n"
    assert (process.returncode, out, said) == (1, "30 dead messages\n20 requeued\n", told)
