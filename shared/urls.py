"""Checks of URLs in settings. Libraries' own errors would quote the URLs, which contain passwords."""

from ipaddress import ip_address
from urllib.parse import urlsplit

HIGHEST_PORT = 65_535
WEB_SCHEMES = ("http", "https")


def host_and_port(host: str, port: int | None) -> str:
    """Format as in a URL, with IPv6 addresses in brackets (RFC 3986 §3.2.2)."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_web_url(url: str, schemes: tuple[str, ...] = WEB_SCHEMES) -> bool:
    """Return whether the URL has one of the schemes and a host, and is safe as a link in a text."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access only
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and url.isprintable() and " " not in url
