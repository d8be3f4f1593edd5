"""A network namespace linked to this machine by cables that a test can unplug."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address

import pytest

RANGES = 1 << 15
"""Each cable has four addresses in 198.18.0.0/15, which RFC 2544 reserves for network tests."""


class Cable:
    """One link between this machine and a namespace. ``host`` is this machine's address on it.

    The number determines its name and its addresses, because the kernel rejects duplicates of either.
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
        """Cut the link: packets are lost, and no end notices."""
        ip("link", "set", self.near, "down")


class Namespace:
    """A separate host, as far as the network is concerned."""

    def __init__(self, name: str, cables: Sequence[Cable]) -> None:
        self.name = name
        self.cables = cables

    @property
    def prefix(self) -> list[str]:
        """Return the command prefix that runs a program in the namespace."""
        return [_program(), "netns", "exec", self.name]


@contextmanager
def namespace(cables: int) -> Iterator[Namespace]:
    """Create a namespace with that many cables. Skip the test where iproute2 is missing or forbidden."""
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
    """Create a cable with a number that no other process uses."""
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
