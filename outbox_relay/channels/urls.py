"""Provider URLs → providers; each scheme is one line of the table below.

What is wrong is told as a predicate ("has a URL without a host") and never quotes the URL: anything
in it may be part of a password that was not percent-encoded.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import httpx

from outbox_relay.channels.base import CappedProvider, Credentials, Provider
from outbox_relay.channels.console import ConsoleProvider
from outbox_relay.channels.file import FileProvider
from outbox_relay.channels.http.session import HttpProvider
from outbox_relay.channels.http_json.api import HttpJsonApi
from outbox_relay.channels.sms_gateways import GATEWAYS, Gateway
from outbox_relay.channels.smtp.dialogue import Server, Tls
from outbox_relay.channels.smtp.session import SmtpProvider
from outbox_relay.model import Caps, Rate, parse_rate
from shared.urls import is_loopback
from shared.vocabulary import Channel

SUBMISSION_PORT = 587
SUBMISSIONS_PORT = 465
CAPS = ("rate", "connections")
WITHOUT_SERVER = ("console", "file")
MOST_DIGITS = 3
HOST_NAME = re.compile(r"[0-9A-Za-z._:%-]+")
"""With what else stands in IPv6 addresses and in names that containers give each other."""


@dataclass(frozen=True)
class DeliveryContext:
    """What all providers are told: the envelope's sender, and how long one attempt may take."""

    sender: str
    timeout: timedelta


def providers_from(urls: str, channel: Channel, context: DeliveryContext) -> tuple[CappedProvider, ...]:
    """Make the channel's providers in the order in which they are to be tried; raises ValueError."""
    return tuple(_capped_provider(url.strip(), channel, context) for url in urls.split(","))


def check_provider_url(url: str, channel: Channel) -> None:
    """Raise ValueError, with a predicate for its text, if the URL makes no provider."""
    _capped_provider(url.strip(), channel, DeliveryContext(sender="", timeout=timedelta(seconds=1)))


def _capped_provider(url: str, channel: Channel, context: DeliveryContext) -> CappedProvider:
    if not url:
        raise ValueError("has an empty entry")
    parts = _split(url)
    make = _MAKERS[channel].get(parts.scheme)
    if make is None:
        raise ValueError(f"has a URL whose scheme is not one of {', '.join(_MAKERS[channel])}")
    if parts.fragment:
        raise ValueError("has a URL with a '#': in a user or password, write it as %23")
    if parts.scheme in WITHOUT_SERVER:
        return CappedProvider(make(parts, context))
    caps, parts = _caps(parts)
    return CappedProvider(make(parts, context), caps)


def _caps(parts: SplitResult) -> tuple[Caps, SplitResult]:
    """Return the caps that every real server's URL may have, and the URL without them."""
    options = parse_qsl(parts.query, keep_blank_values=True)
    caps = {name: value for name, value in options if name in CAPS}
    rest = urlencode([(name, value) for name, value in options if name not in CAPS])
    rate, connections = caps.get("rate"), caps.get("connections")
    return Caps(_rate(rate), _connections(connections)), parts._replace(query=rest)


def _rate(text: str | None) -> Rate | None:
    try:
        return None if text is None else parse_rate(text)
    except ValueError:
        raise ValueError("has a URL whose rate is not one such as 14/s, 100/m or 1000/h") from None


def _connections(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS and int(text)):
        raise ValueError("has a URL whose connections are not a number from 1 to 999")
    return int(text)


def _split(url: str) -> SplitResult:
    if not url.isprintable():
        raise ValueError("has a URL with something in it that cannot be printed")
    try:
        parts = urlsplit(url)
        _ = parts.port  # is only looked at when asked for
    except ValueError:  # its text quotes the URL
        raise ValueError("has a URL that cannot be read: is all in its user and password percent-encoded?") from None
    return parts


def _smtp(parts: SplitResult, context: DeliveryContext) -> Provider:
    options = _options(parts, {"tls", "ca"})
    match options.get("tls", "starttls"):
        case "starttls":
            return _mail_server(parts, Tls.STARTTLS, options, context)
        case "none":
            return _mail_server(parts, Tls.NONE, options, context)
        case _:
            raise ValueError("has a smtp URL whose tls is neither starttls nor none")


def _smtps(parts: SplitResult, context: DeliveryContext) -> Provider:
    return _mail_server(parts, Tls.IMPLICIT, _options(parts, {"ca"}), context)


def _mail_server(parts: SplitResult, tls: Tls, options: dict[str, str], context: DeliveryContext) -> Provider:
    if parts.path.strip("/"):
        raise ValueError(f"has a {parts.scheme} URL with a path")
    server = Server(
        host=_host(parts),
        port=parts.port or (SUBMISSIONS_PORT if tls is Tls.IMPLICIT else SUBMISSION_PORT),
        tls=tls,
        credentials=_credentials(parts),
        ssl_context=None if tls is Tls.NONE else _ssl_context(options.get("ca")),
        timeout=context.timeout.total_seconds(),
    )
    return SmtpProvider(server, context.sender)


def _http_json(parts: SplitResult, context: DeliveryContext) -> Provider:
    options = _options(parts, {"ca"})
    host = _host(parts)
    if parts.password or not parts.username:
        raise ValueError(f"has a {parts.scheme} URL without a token, or with more than one, before its host")
    if parts.scheme == "http+json" and not is_loopback(host):
        raise ValueError("has a http+json URL to another machine: its token would go in clear")
    token = unquote(parts.username)
    if not (token.isascii() and token.isprintable()):
        raise ValueError(f"has a {parts.scheme} URL with a token that cannot stand in a header")
    at = parts.netloc.rpartition("@")[2]
    url = f"{parts.scheme.removesuffix('+json')}://{at}{parts.path}"
    api = HttpJsonApi(f"{parts.scheme}:{at}", url, token)
    return HttpProvider(api, _ssl_context(options.get("ca")), context.timeout.total_seconds())


def _host_with_account(parts: SplitResult, context: DeliveryContext) -> Provider:
    options = _options(parts, {"from", "tls", "ca"})
    credentials = _credentials(parts)
    if credentials is None:
        raise ValueError(f"has a {parts.scheme} URL without user and password")
    gateway = Gateway(
        host=_host(parts),
        port=parts.port,
        path=parts.path.rstrip("/"),
        user=credentials.user,
        password=credentials.password,
        sender=_sender(options),
        has_tls=_has_tls(parts, options),
        ssl_context=_ssl_context(options.get("ca")),
        timeout=context.timeout.total_seconds(),
    )
    return GATEWAYS[parts.scheme](gateway)


def _file(parts: SplitResult, _context: DeliveryContext) -> Provider:
    if parts.netloc or parts.query or not parts.path.startswith("/"):
        raise ValueError("has a file URL that is not file:///directory")
    return FileProvider(Path(unquote(parts.path)))


def _console(parts: SplitResult, _context: DeliveryContext) -> Provider:
    if parts.netloc or parts.path or parts.query:
        raise ValueError("has a console URL with more to it than console:")
    return ConsoleProvider()


_MAKERS: dict[Channel, dict[str, Callable[[SplitResult, DeliveryContext], Provider]]] = {
    Channel.EMAIL: {"smtp": _smtp, "smtps": _smtps, "console": _console, "file": _file},
    Channel.SMS: {
        "https+json": _http_json,
        "http+json": _http_json,
        **dict.fromkeys(GATEWAYS, _host_with_account),
        "console": _console,
        "file": _file,
    },
}


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise ValueError(f"has a {parts.scheme} URL without a host")
    try:
        name = host.encode("idna").decode()
        httpx.URL(scheme="https", host=host)  # it knows more of them than idna does, such as 256.1.1.1
    except (UnicodeError, httpx.InvalidURL):
        name = ""
    if not HOST_NAME.fullmatch(name):
        raise ValueError(f"has a {parts.scheme} URL whose host is not a host name")
    return host


def _credentials(parts: SplitResult) -> Credentials | None:
    if parts.username is None:
        return None
    if not parts.username or not parts.password:
        raise ValueError(f"has a {parts.scheme} URL with only one of user and password")
    return Credentials(unquote(parts.username), unquote(parts.password))


def _has_tls(parts: SplitResult, options: dict[str, str]) -> bool:
    if "tls" not in options:
        return True
    if options["tls"] != "none":
        raise ValueError(f"has a {parts.scheme} URL whose tls is not none: it is encrypted without it")
    if not is_loopback(_host(parts)):
        raise ValueError(f"has a {parts.scheme} URL in clear to another machine: it would show its password and codes")
    return False


def _sender(options: dict[str, str]) -> str:
    # In a query a plus is a space; but from=+1… is how everybody writes a number.
    sender = options.get("from", "")
    return f"+{sender.strip()}" if sender.startswith(" ") else sender


def _options(parts: SplitResult, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= known:
        raise ValueError(
            f"has a {parts.scheme} URL with an option other than {' and '.join(sorted(known))}, rate and connections"
        )
    return options


def _ssl_context(ca: str | None) -> ssl.SSLContext:
    """Make a context that trusts the machine's authorities and, beside them, the one in file ``ca``."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError:
            raise ValueError("has a URL whose ca is not a file of certificates that can be read") from None
    return context
