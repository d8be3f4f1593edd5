import json
import socket
import subprocess
import sys
from dataclasses import astuple

import pytest

from devstack import ports
from devstack.ports import LOOPBACK, Ports, free_ports

RANGE = (31_000, 31_100)
TAKE_FORTY = "[ports.free_port() for _ in range(40)]"


def test_a_preferred_port_is_used_if_it_is_free() -> None:
    wished = free_ports()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, wished.api))
        taken.listen()
        found = free_ports(wished)
    assert found.api != wished.api
    assert (found.relay, found.inbox_http, found.inbox_smtp) == (wished.relay, wished.inbox_http, wished.inbox_smtp)


def test_no_port_is_assigned_twice() -> None:
    same = free_ports().api
    assert len(set(astuple(free_ports(Ports(*[same] * 7))))) == 7


def test_concurrent_processes_never_get_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "RESERVABLE", RANGE)
    code = f"from devstack import ports; ports.RESERVABLE = {RANGE}; print({TAKE_FORTY}, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        theirs = set(json.loads(other.stdout.readline()))
        ours = {ports.free_port() for _ in range(40)}
        other.communicate(b"\n")
    assert (len(theirs), len(ours), theirs & ours) == (40, 40, set())
