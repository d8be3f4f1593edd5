"""Where a request comes from, as far as that can be believed. Decides; reads no socket."""

from ipaddress import IPv6Address, ip_address, ip_network

UNKNOWN = "unknown"
PREFIX_OF_A_CLIENT = 64
"""Bits of an IPv6 address that are given to one household or machine: the rest it chooses freely (RFC 6177)."""


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Return the client's address: the one that the outermost of so many trusted proxies saw.

    Each proxy appends whom it was asked by; what stands further left was written by the client. Where
    there are fewer entries than proxies, or the entry is no address, someone came past them: that is the peer.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    if not trusted_proxies or len(hops) < trusted_proxies:
        return peer
    return _bare(hops[-trusted_proxies]) or peer


def network_of(address: str) -> str:
    """Return what is counted as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped:
        return str(ip_network((parsed, PREFIX_OF_A_CLIENT), strict=False))
    return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else parsed)


def _bare(hop: str) -> str | None:
    """Return the address without the port that some proxies write after it."""
    unbracketed = hop[1:].partition("]")[0] if hop.startswith("[") else hop
    without_port = unbracketed.partition(":")[0] if unbracketed.count(":") == 1 else unbracketed
    try:
        return str(ip_address(without_port))
    except ValueError:
        return None
