"""Draining where the way is long, the server slow, the message an SMS, or the relays two."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter

from bench.contest import RATE, ratio, told
from bench.goals import ROUND_TRIP_TO_LIMIT, TWO_TO_ONE
from bench.ground import Ground, wait_for_port
from bench.peer_list import FEW, peers_there
from bench.peer_measures import Load, drain_peer
from bench.peers.errand import Form
from bench.relaying import CONNECTIONS, FILL_SMS, Drain, drain_by, mail_sink
from bench.report import Report, median
from bench.sizes import Size
from bench.turns import Contestant, take_turns
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Program

ROUND_TRIP = timedelta(milliseconds=20)
SLOW = 50
"""Milliseconds that a slow server, or a gateway, takes for each message."""
ONE_TURN = 1
"""Of what no goal speaks of: its rate is told, and what decides on it is a wait that is always as long."""

LONG = 3
"""How many times as many messages relays are given that do nothing: at a drain's ends cores stand idle in any case."""
SENDING_TURNS = 3
"""Of relays that send, which no goal speaks of."""


@contextmanager
def far_sink(ground: Ground) -> Iterator[int]:
    """Run a sink at the other end of a long road; yield the road's port."""
    port = free_port()
    with mail_sink(ground) as sink, _server(ground, "bench.proxy", port, sink, ROUND_TRIP / timedelta(milliseconds=1)):
        yield port


@contextmanager
def slow_sink(ground: Ground) -> Iterator[int]:
    """Run a sink that takes its time for each message."""
    with mail_sink(ground, milliseconds=SLOW) as port:
        yield port


@contextmanager
def sms_gateway(ground: Ground) -> Iterator[int]:
    """Run an SMS gateway that takes as long for each call."""
    port = free_port()
    with _server(ground, "bench.gateway", port, SLOW):
        yield port


@contextmanager
def _server(ground: Ground, module: str, port: int, *options: float) -> Iterator[None]:
    command = (sys.executable, "-m", module, str(port), *map(str, options))
    with ground.running(Program(module, command, {})):
        wait_for_port(port)
        yield


@dataclass(frozen=True)
class Condition:
    """What a relay and the strongest peers deliver to."""

    name: str
    sink: Callable[[Ground], AbstractContextManager[int]]
    messages: Callable[[Size], int]
    turns: int | None = None
    """Of the relay, where not in each round."""


FAR = Condition(f"{ROUND_TRIP / timedelta(milliseconds=1):g} ms round trip", far_sink, attrgetter("far_messages"))
SLOW_SERVER = Condition(f"server takes {SLOW} ms a message", slow_sink, attrgetter("slow_messages"), ONE_TURN)


def conditions(ours: Ground, size: Size) -> Report:
    """Measure what is not limited by the machine, and two relays beside one."""
    report: Report = {}
    for condition in (FAR,) if size.is_look else (FAR, SLOW_SERVER):
        contestants = [_ours_under(condition, ours, size), *_peers_under(condition, ours, size)]
        take_turns(contestants, size.slow_rounds, RATE, told)
        report |= {f"{condition.name}: {one.name}, messages/s": _rate(one) for one in contestants if one.runs}
    report[ROUND_TRIP_TO_LIMIT] = _number(report, f"{FAR.name}: ours, messages/s") / _round_trips()
    return report | _sms(ours, size) | _two_relays(ours, size)


def _round_trips() -> float:
    return CONNECTIONS / ROUND_TRIP.total_seconds()


def _number(report: Report, name: str) -> float:
    found = report[name]
    assert isinstance(found, float)
    return found


def _ours_under(condition: Condition, ours: Ground, size: Size) -> Contestant[Drain]:
    def measure() -> Drain:
        with condition.sink(ours) as port:
            return drain_by(ours, [ours.relay(port)], condition.messages(size))

    return Contestant("ours", measure, most=condition.turns)


def _peers_under(condition: Condition, ours: Ground, size: Size) -> Iterator[Contestant[Drain]]:
    load = Load(Form.USUAL, condition.messages(size), size.peer_time, FEW, condition.sink)
    for peer in [] if size.is_look else peers_there(only_strongest=True):
        yield Contestant(peer.name, partial(drain_peer, ours, peer, load), rivals="peers", most=ONE_TURN)


def _sms(ours: Ground, size: Size) -> Report:
    def measure() -> Drain:
        with sms_gateway(ours) as port:
            relay = ours.relay(port, SMS_PROVIDERS=f"http+json://token@{LOOPBACK}:{port}/")
            return drain_by(ours, [relay], size.slow_messages, FILL_SMS)

    sms = Contestant("SMS", measure)
    take_turns([sms], ONE_TURN, RATE, told)
    limit = CONNECTIONS / SLOW * 1000
    return {f"SMS, {SLOW} ms a call, messages/s": _rate(sms), "  SMS ÷ connections per call's time": _rate(sms) / limit}


def _two_relays(ours: Ground, size: Size) -> Report:
    def idle(count: int) -> Drain:
        return drain_by(ours, _numbered([ours.null_relay() for _ in range(count)]), size.messages * LONG)

    def busy(count: int) -> Drain:
        with mail_sink(ours) as port:
            return drain_by(ours, _numbered([ours.relay(port) for _ in range(count)]), size.messages)

    one, two = Contestant("one relay, doing nothing", lambda: idle(1)), Contestant("two", lambda: idle(2))
    one_sends = Contestant("one relay, sending", lambda: busy(1), most=SENDING_TURNS)
    two_send = Contestant("two", lambda: busy(2), most=SENDING_TURNS)
    sending = [] if size.is_look else [one_sends, two_send]
    take_turns([one, two, *sending], size.rounds, RATE, told)
    report: Report = {TWO_TO_ONE: ratio(two, one, RATE)}
    return report | ({"  the same, sending": ratio(two_send, one_sends, RATE)} if sending else {})


def _numbered(relays: list[Program]) -> list[Program]:
    return [replace(relay, name=f"{relay.name} {number}") for number, relay in enumerate(relays)]


def _rate(one: Contestant[Drain]) -> float:
    return median(run.rate for run in one.runs)
