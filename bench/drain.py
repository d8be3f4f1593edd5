"""How fast relays and peers drain a backlog."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from bench.peer_runner import PEERS, Drain, Peer, drain_peer, installed_peers
from bench.peers.harness import NOOP, SEND
from bench.process_usage import cpu_seconds, peak_megabytes
from bench.report import CPU_TO_PEER, DRAIN_TO_PEER, NOOP_TO_PEER, Report
from bench.rounds import Candidate, best, ratio, run_rounds
from bench.testbed import Testbed
from devstack.ports import ANY
from devstack.processes import Program

ROUNDS = 5
MESSAGES, QUICK_MESSAGES = 20_000, 3_000
PEER_MESSAGES, QUICK_PEER_MESSAGES = {SEND: 5_000, NOOP: 15_000}, {SEND: 1_000}
PEER_SECONDS = 3.0
"""For slower peers, the messages handled within this time count."""
RATE, TOTAL_CPU = attrgetter("rate"), attrgetter("total_cpu_per_thousand")


def drain(testbed: Testbed, *, quick: bool) -> Report:
    """Measure one and two relays, and every peer on all cores: with its own sender, and with a no-op sender."""
    messages = QUICK_MESSAGES if quick else MESSAGES
    one = Candidate("one relay", partial(drain_relays, testbed, 1, messages))
    two = Candidate("two relays", partial(drain_relays, testbed, 2, messages))
    noop = Candidate("two relays, no-op sender", partial(drain_relays, testbed, 2, messages, sends=False))
    handlers = [SEND] if quick else [SEND, NOOP]
    peers = [
        _peer(testbed, peer, handler, quick=quick) for handler in handlers for peer in installed_peers(quick=quick)
    ]
    candidates = [one, two, *([] if quick else [noop]), *peers]
    run_rounds(candidates, 1 if quick else ROUNDS, RATE)
    report: Report = {candidate.name: _figures(candidate) for candidate in candidates}
    report |= {peer.name: "not installed" for peer in PEERS if not peer.is_installed}
    report["two relays ÷ one relay"] = ratio(two, one, RATE)
    for figure, candidate, group in ((DRAIN_TO_PEER, two, SEND), (NOOP_TO_PEER, noop, NOOP)):
        if fastest := best(peers, group, RATE):
            report[figure] = ratio(candidate, fastest, RATE)
    if frugal := best(peers, SEND, lambda result: -result.total_cpu_per_thousand):
        report[CPU_TO_PEER] = ratio(one, frugal, TOTAL_CPU)
    return report


def _peer(testbed: Testbed, peer: Peer, handler: str, *, quick: bool) -> Candidate[Drain]:
    messages = (QUICK_PEER_MESSAGES if quick else PEER_MESSAGES)[handler]
    measure: Callable[[], Drain] = partial(drain_peer, testbed, peer, handler, messages, PEER_SECONDS)
    return Candidate(peer.name if handler == SEND else f"{peer.name}, no-op handler", measure, group=handler)


def _figures(candidate: Candidate[Drain]) -> str | dict[str, float]:
    if candidate.failure:
        return f"failed: {candidate.failure}"
    return {
        "messages/s": candidate.median(RATE),
        "CPU s per 1,000": candidate.median(attrgetter("cpu_per_thousand")),
        "the store's": candidate.median(attrgetter("store_cpu_per_thousand")),
        "MB": candidate.median(attrgetter("peak_megabytes")),
        "rounds": len(candidate.results),
    }


def drain_relays(testbed: Testbed, relays: int, messages: int, *, sends: bool = True, **settings: str) -> Drain:
    """Commit messages while relays are idle, and measure from their notification until the last is settled."""
    testbed.truncate()
    with (
        testbed.smtp_sink() as port,
        testbed.running(*_relays(testbed, relays, port, sends=sends, **settings)) as processes,
    ):
        testbed.enqueue_many(messages)
        testbed.checkpoint()
        before = sum(cpu_seconds(one.pid) for one in processes), cpu_seconds(testbed.postgres_pid)
        start = testbed.number("select extract(epoch from clock_timestamp())")
        testbed.wake_relays()
        testbed.wait_until_settled(processes)
        after = sum(cpu_seconds(one.pid) for one in processes), cpu_seconds(testbed.postgres_pid)
        memory = sum(peak_megabytes(one.pid) for one in processes)
    end = testbed.number("select extract(epoch from max(settled_at)) from outbox_messages")
    if testbed.number("select count(*) from outbox_messages where status = 'sent'") != messages:
        raise RuntimeError("not all messages were sent")
    cpu, store_cpu = ((late - early) / messages * 1000 for early, late in zip(before, after, strict=True))
    return Drain(messages / (end - start), cpu, store_cpu, memory)


def _relays(testbed: Testbed, count: int, port: int, *, sends: bool, **settings: str) -> Sequence[Program]:
    numbers = range(1, count + 1)
    if sends:
        return [testbed.relay(port, number=number, **settings) for number in numbers]
    return [testbed.relay(ANY, number=number, module="bench.noop_relay", EMAIL_PROVIDERS="noop:") for number in numbers]
