"""How soon a message's mail is accepted by the SMTP server in an idle system."""

import time
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from sqlalchemy.orm import Session

from api_service.outbox_signals.wake_relays import Notifier
from bench.peer_runner import Peer, installed_peers, latencies, peer_latencies
from bench.peers.harness import recipient
from bench.report import (
    LATENCY_P50,
    LATENCY_P50_TO_PEER,
    LATENCY_P99,
    LATENCY_P99_TO_PEER,
    Report,
    percentile,
)
from bench.rounds import Candidate, run_rounds
from bench.testbed import Testbed
from shared.db.engine import create_database_engine
from shared.enqueue import NewMessage, enqueue
from shared.templates import Template
from shared.vocabulary import Channel, Locale

ROUNDS, MESSAGES, QUICK_MESSAGES = 5, 100, 50
PAUSE_SECONDS = 0.02
WARM_UP = 50
"""Messages of the relay that do not count: the first one opens the SMTP connection. Peers have as many or more."""


@dataclass(frozen=True)
class Latencies:
    """Milliseconds until acceptance, from before the message is enqueued, and from after its commit."""

    from_enqueueing: list[float]
    from_commit: list[float]


def latency(testbed: Testbed, *, quick: bool) -> Report:
    """Measure one message every 20 ms, of a relay and of every peer with a worker that runs all the time."""
    messages = QUICK_MESSAGES if quick else MESSAGES
    relay = Candidate("one relay", partial(relay_latencies, testbed, messages))
    peers = [
        Candidate(peer.name, partial(_latencies_of, testbed, peer, messages), group="peers")
        for peer in installed_peers(quick=False)
        if peer.has_daemon and not quick
    ]
    run_rounds([relay, *peers], 1 if quick else ROUNDS, lambda result: 1 / percentile(result.from_enqueueing, 50))
    report: Report = {
        LATENCY_P50: relay.median(lambda result: percentile(result.from_commit, 50)),
        LATENCY_P99: relay.median(lambda result: percentile(result.from_commit, 99)),
    }
    for one in (relay, *peers):
        name = f"enqueueing to acceptance, {one.name}, ms"
        report[name] = f"failed: {one.failure}" if one.failure else {"p50": _p50(one), "p99": _p99(one)}
    measured = [peer for peer in peers if not peer.failure]
    for figure, score in ((LATENCY_P50_TO_PEER, _p50), (LATENCY_P99_TO_PEER, _p99)):
        if measured:
            report[figure] = score(relay) / min(map(score, measured))
    return report


def _p50(candidate: Candidate[Latencies]) -> float:
    return candidate.median(lambda result: percentile(result.from_enqueueing, 50))


def _p99(candidate: Candidate[Latencies]) -> float:
    return candidate.median(lambda result: percentile(result.from_enqueueing, 99))


def _latencies_of(testbed: Testbed, peer: Peer, messages: int) -> Latencies:
    return Latencies(peer_latencies(testbed, peer, messages, PAUSE_SECONDS), [])


def relay_latencies(testbed: Testbed, messages: int) -> Latencies:
    """Commit one message at a time in the way the API does, for an idle relay."""
    testbed.truncate()
    log = testbed.folder / "accepted"
    started, committed = [], []
    engine = create_database_engine(testbed.url("api"), application_name="bench", pool_size=1)
    notifier = Notifier(testbed.url("api"))
    with testbed.smtp_sink(log) as port, testbed.running(testbed.relay(port)) as relays:
        for number in range(WARM_UP + messages):
            started.append(time.time())
            with Session(engine) as session, session.begin():
                enqueue(session, _message(testbed.key_id, number))
            committed.append(time.time())
            notifier.wake()
            time.sleep(PAUSE_SECONDS)
        testbed.wait_until_settled(relays)
    notifier.close()
    engine.dispose()
    return Latencies(*(latencies(moments, log, recipient)[WARM_UP:] for moments in (started, committed)))


def _message(key_id: str, number: int) -> NewMessage:
    return NewMessage(
        template=Template("activation"),
        channel=Channel.EMAIL,
        recipient=recipient(number),
        locale=Locale.EN,
        payload={"name": "Ada", "key_id": key_id},
        token_id=uuid4(),
    )
