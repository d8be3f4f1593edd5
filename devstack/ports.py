"""Ports on loopback: the default ones if they are free, or others."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import astuple, dataclass

LOOPBACK = "127.0.0.1"
ANY = 0
RESERVABLE = (20_000, 32_768)
"""Below the ports that Linux uses for outgoing connections (ip_local_port_range), to avoid conflicts."""


@dataclass(frozen=True)
class Ports:
    """The port of each process; ANY for any free one."""

    api: int = ANY
    api_admin: int = ANY
    relay: int = ANY
    console: int = ANY
    console_admin: int = ANY
    inbox_http: int = ANY
    inbox_smtp: int = ANY


FRIENDLY = Ports(
    api=8000, api_admin=8003, relay=8002, console=8001, console_admin=8004, inbox_http=8025, inbox_smtp=2525
)


def free_ports(wanted: Ports = Ports()) -> Ports:
    """Return the wanted ports, with a free port instead of each one in use."""
    return Ports(*_free(astuple(wanted)))


def free_port() -> int:
    """Return a free port, reserved for this process and its children until this process ends."""
    while True:
        port = random.randrange(*RESERVABLE)  # noqa: S311 - spreads processes out, protects nothing
        reservation = socket.socket(socket.AF_UNIX)
        try:
            # The kernel frees an abstract socket (unix(7)) with its process, so a killed process leaves no reservation.
            reservation.bind(f"\0signpost-port-{port}")
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            reservation.close()
        else:
            reservation.detach()  # left open until the process ends
            return port


def _free(wanted: Iterable[int]) -> list[int]:
    # All wanted ports are held until the last one is found, so that no port is returned twice.
    with ExitStack() as held:
        return [port if port and _is_bound(port, held) else free_port() for port in wanted]


def _is_bound(port: int, held: ExitStack) -> bool:
    try:
        held.enter_context(socket.create_server((LOOPBACK, port)))
    except OSError:
        return False
    return True
