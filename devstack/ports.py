"""Ports on loopback: the friendly ones where they are free, others where not."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
ANY = 0


@dataclass(frozen=True)
class Ports:
    """Where each part listens."""

    api: int = ANY
    relay: int = ANY
    console: int = ANY
    inbox_http: int = ANY
    inbox_smtp: int = ANY


FRIENDLY = Ports(api=8000, relay=8002, console=8001, inbox_http=8025, inbox_smtp=2525)


def free_ports(wished: Ports = Ports()) -> Ports:
    """Return the wished ports, with one that is free in place of each that is taken."""
    return Ports(*_free((wished.api, wished.relay, wished.console, wished.inbox_http, wished.inbox_smtp)))


def free_port() -> int:
    """Return one that is free."""
    [port] = _free((ANY,))
    return port


def _free(wished: Iterable[int]) -> list[int]:
    # All are held until the last is found, so that no port is given out twice.
    with ExitStack() as held:
        return [_bound(port, held) for port in wished]


def _bound(port: int, held: ExitStack) -> int:
    try:
        probe = held.enter_context(socket.create_server((LOOPBACK, port)))
    except OSError:
        return _bound(ANY, held)
    return int(probe.getsockname()[1])
