"""Which URLs in settings can be used: asked before anything is done with them, for libraries quote what they refuse."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from shared.db.connection_settings import driver_url

HIGHEST_PORT = 65_535
WEB_SCHEMES = ("http", "https")


def place(host: str, port: int | None) -> str:
    """Write both as URLs do, IPv6 in brackets (RFC 3986 §3.2.2)."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether what is sent there stays on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_web_url(url: str, schemes: tuple[str, ...] = WEB_SCHEMES) -> bool:
    """Tell whether the URL has one of the schemes, names a host, and can stand in a text as a link."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # is only looked at when asked for
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and url.isprintable() and " " not in url


def is_database_url(url: str) -> bool:
    """Tell whether the driver can read the URL, and reads in it what was meant."""
    try:
        parts = conninfo_to_dict(driver_url(url))
    except psycopg.Error:
        return False
    return bool(parts.get("dbname")) and _are_ports(str(parts.get("port", ""))) and _is_cut_in_one_way(url)


def _are_ports(listed: str) -> bool:
    """Tell whether each of several hosts' ports is one, or left out."""
    return all(not port or (port.isdecimal() and int(port) <= HIGHEST_PORT) for port in listed.split(","))


def _is_cut_in_one_way(url: str) -> bool:
    """Tell whether no "@" or "/" stands bare in the password: it would be taken for host, port or database."""
    login_and_host, _, database = url.partition("?")[0].partition("://")[2].partition("/")
    return login_and_host.count("@") <= 1 and "@" not in database
