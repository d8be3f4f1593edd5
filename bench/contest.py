"""Draining and latency: ours, the peers in their forms, and the machine's own limits, in turns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from operator import attrgetter

import click

from bench.goals import (
    CPU_TO_PEER,
    DRAIN_TO_BARE,
    DRAIN_TO_PEER,
    DRAIN_TO_PREPARED_PEER,
    LATENCY_P50,
    LATENCY_P50_TO_PEER,
    LATENCY_P99,
    LATENCY_P99_TO_PEER,
    NOTHING_TO_PEER,
)
from bench.ground import Ground
from bench.limits import LIMITS
from bench.peer_list import PEERS, Peer, peers_there
from bench.peer_measures import Load, drain_peer, peer_latencies
from bench.peers.errand import Form
from bench.relaying import (
    Drain,
    Promptness,
    bare_sender,
    drain,
    drain_by,
    promptness,
)
from bench.report import Report, median, percentile
from bench.sizes import Size
from bench.turns import Contestant, best, take_turns

LATENCY_EVERY = timedelta(milliseconds=20)
PATIENCE = 2
"""How many times as long as it should a peer may take for its messages before it is measured by what is handled."""
FEWEST = 500
# Few are over before a large batch shows what it costs; many take those long to fill who are long in handling them.
SHARES = {Form.USUAL: 16, Form.PREPARED: 8, Form.NOTHING: 4}
"""Of how many a peer is given one to begin with."""
QUICK_SHARES = {Form.USUAL: 4, Form.PREPARED: 4, Form.NOTHING: 1}
"""The same of one that handles thousands in a second."""
LIMITS_TURNS = 1
"""Of others' senders, and of the mail as it ships: no goal compares with them."""
AS_IT_SHIPS = "the mail as it ships"
RATE = attrgetter("rate")


def told(line: str) -> None:
    """Say how far the run is, where it does not mix with the report."""
    click.echo(f"  {line}", err=True)


@dataclass
class PeerDrain:
    """Drains a peer of as many messages as it is likely to manage in the time that it is given."""

    ground: Ground
    peer: Peer
    form: Form
    size: Size
    last_rate: float | None = field(default=None)

    def __call__(self) -> Drain:
        """Measure once."""
        load = Load(self.form, self._messages(), self.size.peer_time * PATIENCE, self.peer.warm_up)
        drained = drain_peer(self.ground, self.peer, load)
        self.last_rate = drained.rate
        return drained

    def _messages(self) -> int:
        if self.last_rate is None:
            return self._first_messages()
        seconds = self.size.peer_time.total_seconds()
        if self.last_rate * seconds * PATIENCE >= self.size.peer_messages:
            return self.size.peer_messages
        return max(FEWEST, int(self.last_rate * seconds))

    def _first_messages(self) -> int:
        return self.size.peer_messages // (QUICK_SHARES if self.peer.is_quick else SHARES)[self.form]


def draining(ours: Ground, size: Size) -> Report:
    """Measure a full outbox: the relay, the peers, and what the machine allows."""
    relay = Contestant("ours", lambda: drain(ours, size.messages))
    idle = Contestant("ours, doing nothing", lambda: drain_by(ours, [ours.null_relay()], size.messages))
    peers = [
        Contestant(f"{peer.name}, {form.value}", PeerDrain(ours, peer, form, size), rivals=form.value)
        for peer in peers_there(only_strongest=size.is_look)
        for form in peer.forms
        if form in size.forms
    ]
    limits = [Contestant("bare sender", _limit(bare_sender, ours, size.messages))]
    few = size.messages // 4
    limits += [
        Contestant(f"{AS_IT_SHIPS}: ours", lambda: drain(ours, few, theme=None), most=LIMITS_TURNS),
        Contestant(
            f"{AS_IT_SHIPS}: bare sender", _limit(partial(bare_sender, theme=None), ours, few), most=LIMITS_TURNS
        ),
    ]
    limits += [
        Contestant(name, _limit(limit, ours, few), most=LIMITS_TURNS)
        for name, limit in LIMITS.items()
        if limit.is_there
    ]
    take_turns([relay, idle, *peers, *limits], size.rounds, RATE, told)
    report: Report = {one.name: _figures(one) for one in [relay, idle, *limits, *peers] if one.runs}
    report |= {one.name: f"failed: {one.failure}" for one in peers if one.failure}
    return report | absent() | _ratios(relay, idle, peers, limits[0])


def absent() -> Report:
    """Tell which peers could not be measured because they are not installed."""
    return {peer.name: "absent" for peer in PEERS if peer.is_absent}


def _limit(limit: Callable[[Ground, int], float], ours: Ground, messages: int) -> Callable[[], Drain]:
    return lambda: Drain(limit(ours, messages), 0, 0, 0)


def _figures(one: Contestant[Drain]) -> dict[str, float]:
    figures = {"messages/s": median(run.rate for run in one.runs)}
    if any(run.cpu_per_thousand for run in one.runs):
        figures["CPU s per 1,000"] = median(run.cpu_per_thousand for run in one.runs)
        figures["store's"] = median(run.store_cpu_per_thousand for run in one.runs)
        figures["MB"] = median(run.peak_megabytes for run in one.runs)
    return figures | {"rounds": len(one.runs)}


def _ratios(
    relay: Contestant[Drain], idle: Contestant[Drain], peers: list[Contestant[Drain]], bare: Contestant[Drain]
) -> Report:
    """Compare round by round what was measured in the same rounds."""
    usual, prepared, nothing = (best(peers, form.value, RATE) for form in (Form.USUAL, Form.PREPARED, Form.NOTHING))
    frugal = best(peers, Form.USUAL.value, lambda run: -run.whole_cpu_per_thousand)
    pairs = {
        DRAIN_TO_PEER: (relay, usual, RATE),
        DRAIN_TO_PREPARED_PEER: (relay, prepared, RATE),
        DRAIN_TO_BARE: (relay, bare, RATE),
        NOTHING_TO_PEER: (idle, nothing, RATE),
        CPU_TO_PEER: (relay, frugal, attrgetter("whole_cpu_per_thousand")),
    }
    return {name: ratio(one, other, score) for name, (one, other, score) in pairs.items() if other}


def ratio(one: Contestant[Drain], other: Contestant[Drain], score: Callable[[Drain], float]) -> float:
    """Return the median of the ratios of the rounds that both took part in."""
    return median(
        score(mine) / (score(theirs) or float("inf")) for mine, theirs in zip(one.runs, other.runs, strict=False)
    )


def latency(ours: Ground, size: Size) -> Report:
    """Measure one message at a time in an idle system, ours and the peers'."""
    relay = Contestant("ours", lambda: promptness(ours, size.latencies, LATENCY_EVERY))
    peers = [
        Contestant(peer.name, partial(_peer_promptness, ours, peer, size.latencies), rivals="peers")
        for peer in peers_there()
        if peer.has_daemon and not size.is_look
    ]
    take_turns([relay, *peers], size.rounds, _score, told)
    report: Report = {
        LATENCY_P50: _accepted(relay, 50),
        "commit to acceptance, p95, ms": _accepted(relay, 95),
        LATENCY_P99: _accepted(relay, 99),
        "before the transaction to the settle, ms": {f"p{one}": _settled(relay, one) for one in (50, 99)},
    }
    measured = [peer for peer in peers if peer.runs]
    for peer in measured:
        report[f"commit to acceptance, {peer.name}, ms"] = {
            "p50": _settled(peer, 50),
            "p99": _settled(peer, 99),
            "rounds": len(peer.runs),
        }
    report |= {f"commit to acceptance, {peer.name}, ms": f"failed: {peer.failure}" for peer in peers if peer.failure}
    for name, percent in ((LATENCY_P50_TO_PEER, 50), (LATENCY_P99_TO_PEER, 99)):
        if measured:
            report[name] = _settled(relay, percent) / min(_settled(peer, percent) for peer in measured)
    return report


def _peer_promptness(ours: Ground, peer: Peer, messages: int) -> Promptness:
    """Measure a peer, whose handler tells when it has sent; that counts as settled, which favours the peer."""
    latencies = peer_latencies(ours, peer, messages, LATENCY_EVERY)
    return Promptness(latencies, latencies)


def _score(run: Promptness) -> float:
    """Score more the shorter the median is."""
    return 1 / percentile(run.settled, 50)


def _accepted(one: Contestant[Promptness], percent: int) -> float:
    return median(percentile(run.accepted, percent) for run in one.runs)


def _settled(one: Contestant[Promptness], percent: int) -> float:
    return median(percentile(run.settled, percent) for run in one.runs)
