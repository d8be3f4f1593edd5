"""A network namespace joined to this machine by cables of its own, which can be unplugged."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address

import pytest

RANGES = 1 << 15
"""Of four addresses each, in 198.18.0.0/15, which is kept for tests of networks (RFC 2544)."""


class Cable:
    """One link between here and there; ``host`` is this machine's address at its end.

    The number is both its name and its range of addresses: the kernel gives neither to a second cable.
    """

    def __init__(self, number: int) -> None:
        network = int(IPv4Address("198.18.0.0")) + 4 * number
        self.host, self.peer = (str(IPv4Address(network + place)) for place in (1, 2))
        self.near, self.far = f"sp{number}h", f"sp{number}n"

    def lay(self, namespace: str) -> None:
        ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", namespace)
        ip("addr", "add", f"{self.host}/30", "dev", self.near)
        ip("-n", namespace, "addr", "add", f"{self.peer}/30", "dev", self.far)
        ip("-n", namespace, "link", "set", self.far, "up")
        self.plug_in()

    def plug_in(self) -> None:
        ip("link", "set", self.near, "up")

    def pull(self) -> None:
        """Cut it: whatever is sent from now on is lost, and nobody is told."""
        ip("link", "set", self.near, "down")


class Namespace:
    """Another host, as far as the network is concerned."""

    def __init__(self, name: str, cables: Sequence[Cable]) -> None:
        self.name = name
        self.cables = cables

    @property
    def prefix(self) -> list[str]:
        """Return what a command begins with to be run there."""
        return [_program(), "netns", "exec", self.name]


@contextmanager
def namespace(cables: int) -> Iterator[Namespace]:
    """Make one with that many cables; skips where the machine has no iproute2, or does not allow it."""
    if os.geteuid() or not _program():
        pytest.skip("network namespaces take root and iproute2")
    name = f"sp{secrets.token_hex(3)}"
    with ExitStack() as ending:
        try:
            ip("netns", "add", name)
            ending.callback(ip, "netns", "delete", name)
            ip("-n", name, "link", "set", "lo", "up")
            laid = [lay_cable(name) for _ in range(cables)]
            for cable in laid:
                ending.callback(ip, "link", "delete", cable.near)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
        yield Namespace(name, laid)


def lay_cable(namespace: str) -> Cable:
    """Lay one whose number no other on this machine has, of whichever process."""
    while True:
        cable = Cable(secrets.randbelow(RANGES))
        try:
            cable.lay(namespace)
        except subprocess.CalledProcessError as error:
            if "File exists" not in error.stderr:
                raise
        else:
            return cable


def ip(*arguments: str) -> None:
    subprocess.run([_program(), *arguments], check=True, capture_output=True, text=True)


def _program() -> str:
    return shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin") or ""
