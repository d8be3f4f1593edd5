"""Find the client's address behind trusted proxies, and the network that rate limits count."""

from ipaddress import IPv6Address, ip_address, ip_network

UNKNOWN = "unknown"
PREFIX_OF_A_CLIENT = 64
"""Bits of an IPv6 address assigned to one site, which chooses the rest freely (RFC 6177)."""
PREFIX_SHOWN, GROUPS_SHOWN = 48, 3
"""How much of an IPv6 address a notice shows. Providers assign prefixes of this length or longer to a household."""


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Return the client's address as the outermost trusted proxy saw it.

    Each proxy appends its peer to X-Forwarded-For; the client controls everything further left. With fewer entries
    than proxies, or an entry that is no address, the request bypassed the proxies, so the peer is the client.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    if not trusted_proxies or len(hops) < trusted_proxies:
        return peer
    return _bare(hops[-trusted_proxies]) or peer


def network_of(address: str) -> str:
    """Return the unit of rate limits: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped:
        return str(ip_network((parsed, PREFIX_OF_A_CLIENT), strict=False))
    return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else parsed)


def approximate_network(address: str) -> str | None:
    """Return the network in a notice: the /24 of an IPv4 address, or the /48 of an IPv6 address; None without one.

    The form is for people, in characters that an SMS has: ``192.0.2.*`` or ``2001:db8:1:*``.
    """
    network = network_of(address)
    if network == UNKNOWN:
        return None
    if "/" not in network:
        return f"{network.rpartition('.')[0]}.*"
    prefix = ip_network(network).supernet(new_prefix=PREFIX_SHOWN).network_address
    groups = prefix.exploded.split(":")[:GROUPS_SHOWN]
    return f"{':'.join(f'{int(group, 16):x}' for group in groups)}:*"


def _bare(hop: str) -> str | None:
    """Return the address without the port that some proxies append."""
    unbracketed = hop[1:].partition("]")[0] if hop.startswith("[") else hop
    without_port = unbracketed.partition(":")[0] if unbracketed.count(":") == 1 else unbracketed
    try:
        return str(ip_address(without_port))
    except ValueError:
        return None
