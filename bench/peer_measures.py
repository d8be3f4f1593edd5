"""Measuring a peer: how many messages it drains, and how soon it sends a single one."""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from bench.ground import Ground
from bench.peer_list import FEW, Peer
from bench.peer_runs import LOOK_SECONDS, PeerRun, Tallied, errand_for, running
from bench.peers.errand import Form
from bench.relaying import Drain, mail_sink
from bench.turns import FailedError
from bench.usage import cpu_seconds, family, peak_megabytes
from devstack.processes import Process

START_SECONDS = 30


@dataclass(frozen=True)
class Load:
    """How many messages a peer is given, in which form, for how long at most, after how many, and where it sends to."""

    form: Form
    messages: int
    most: timedelta
    warm_up: int
    sink: Callable[[Ground], AbstractContextManager[int]] = mail_sink


def drain_peer(ground: Ground, peer: Peer, load: Load) -> Drain:
    """Fill it beside a worker that waits, as the relay does, and measure from its waking to the last message handled.

    The worker has handled a few messages, so that its code and its connections are there, and stands still while the
    others are filled in. Its last settling does not count, where the relay's does; nor does what one that cannot wait
    fetched before its first message was seen handled. Who takes too long is measured by what was handled until then.
    """
    with running(ground, peer) as run, load.sink(ground) as port:
        run.tell(errand_for(run, load.form, port, is_draining=True))
        with _worker(run, load) as worker:
            return _watched(run, worker, load)


@contextmanager
def _worker(run: PeerRun, load: Load) -> Iterator[Process]:
    """Yield a worker that is about to begin with so many messages, or has just begun."""
    if not run.peer.has_daemon:
        run.command("fill", str(load.messages))
        run.ground.settle_down()
        with run.ground.running(run.working()) as worker:
            yield worker
        return
    with run.filling(load.warm_up, load.messages) as filling, run.ground.running(run.working()) as worker:
        _wait_for(run, worker, load.warm_up)
        with standing_still(worker.pid):
            run.go_on(filling)
            run.ground.settle_down()
        yield worker


def _watched(run: PeerRun, worker: Process, load: Load) -> Drain:
    begun = _awake(worker, load.warm_up) if run.peer.has_daemon else _wait_for(run, worker, 1)
    used_before = cpu_seconds(worker.pid), cpu_seconds(run.store_pid)
    last = load.messages + (load.warm_up if run.peer.has_daemon else 0)
    done = _wait_for(run, worker, last, load.most)
    used = cpu_seconds(worker.pid) - used_before[0], cpu_seconds(run.store_pid) - used_before[1]
    handled = done.count - begun.count
    if not handled or done.last <= begun.last:
        raise FailedError(f"{done.count} messages were over before they could be looked at")
    return Drain(
        handled / (done.last - begun.last),
        used[0] / handled * 1000,
        used[1] / handled * 1000,
        peak_megabytes(worker.pid),
    )


def _awake(worker: Process, warm_up: int) -> Tallied:
    """Return once the worker has woken up and used some CPU: how soon it hears of messages is not what is measured."""
    before, deadline = cpu_seconds(worker.pid), time.monotonic() + START_SECONDS
    while cpu_seconds(worker.pid) <= before:
        _go_on(worker, deadline)
    return Tallied(count=warm_up, last=time.time())


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Have a process and all below it do nothing for a while."""
    members = family(pid)
    try:
        _signal(members, signal.SIGSTOP)
        yield
    finally:
        _signal(members, signal.SIGCONT)


def _signal(members: Sequence[int], number: signal.Signals) -> None:
    for member in members:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(member, number)


def _go_on(worker: Process, deadline: float) -> None:
    worker.raise_if_ended()
    if time.monotonic() > deadline + 1:
        raise FailedError(f"nothing was handled; {worker.tail()}")
    time.sleep(LOOK_SECONDS)


def peer_latencies(ground: Ground, peer: Peer, messages: int, every: timedelta) -> list[float]:
    """Return the milliseconds from before each message's enqueueing until its mail was accepted, in an idle system."""
    with running(ground, peer) as run, mail_sink(ground) as port:
        run.tell(replace(errand_for(run, Form.USUAL, port, is_draining=False), pause_seconds=every.total_seconds()))
        run.command("fill", str(FEW))
        with ground.running(run.working()) as worker:
            _wait_for(run, worker, FEW)
            run.command("trickle", str(messages))
            _wait_for(run, worker, FEW + messages)
        return run.latencies()


def _wait_for(run: PeerRun, worker: Process, count: int, most: timedelta | None = None) -> Tallied:
    """Return once so many are handled, or any more than before once it has taken as long as allowed."""
    begun, before = time.monotonic(), run.tallied().count
    enough = begun + most.total_seconds() if most else math.inf
    while (tallied := run.tallied()).count < count and not (time.monotonic() > enough and tallied.count > before):
        _go_on(worker, begun + START_SECONDS)
    return tallied
