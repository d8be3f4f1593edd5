"""Create providers from URLs. A scheme is registered as an entry point of the group ``signpost.providers``.

Each error text is a predicate, such as "has a URL without a host". It never quotes the URL: any part of the URL may be
part of a password that was not percent-encoded.
"""

import os
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from hashlib import scrypt
from importlib.metadata import entry_points
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from outbox_relay.channels.base import CappedProvider, Credentials, Provider
from outbox_relay.model import Caps, Rate, StoreReport, parse_rate
from shared.reports.return_paths import BounceAddress, CallbackUrl
from shared.urls import is_loopback
from shared.vocabulary import Channel

ENTRY_POINT_GROUP = "signpost.providers"
LIMITS = ("rate", "connections")
MOST_DIGITS = 3
HOST_NAME = re.compile(r"[0-9A-Za-z._:%-]+")
"""Also covers IPv6 addresses and the names that containers give each other."""


@dataclass(frozen=True)
class DeliveryContext:
    """Parameters of all providers: the envelope sender of e-mails, and how long one attempt may take.

    ``callback_url`` makes the URLs for receipts, if gateways are to call back. ``store_report`` stores receipts that
    arrive over a provider's own connection. Without it, providers do not take them.
    With ``bounces``, each e-mail has a unique envelope sender instead of ``sender``.
    ``account`` distinguishes a provider from others of the same kind at its host, if there are any.
    """

    sender: str
    timeout: timedelta
    callback_url: CallbackUrl | None = None
    store_report: StoreReport | None = None
    bounces: BounceAddress | None = None
    account: str = ""

    def name(self, base: str) -> str:
        """Return the name of a provider, which begins with ``base``, such as ``smtp:mail.example.org:587``."""
        return f"{base}#{self.account}" if self.account else base


class ProviderUrl(SplitResult):
    """A parsed provider URL, without ``rate`` and ``connections``. Methods raise ValueError with a predicate."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"ProviderUrl({self.scheme})"  # without credentials

    def host(self) -> str:
        """Return the host name or address."""
        host = self.hostname
        if not host:
            raise ValueError(f"has a {self.scheme} URL without a host")
        try:
            name = host.encode("idna").decode()
            if name.rpartition(".")[2].isdecimal():  # then it is an IPv4 address (RFC 3696 §2)
                ip_address(name)
        except ValueError:
            name = ""
        if not HOST_NAME.fullmatch(name):
            raise ValueError(f"has a {self.scheme} URL whose host is not a host name")
        return host

    def credentials(self) -> Credentials | None:
        """Return user and password, or None if the URL has neither."""
        if self.username is None:
            return None
        if not self.username or not self.password:
            raise ValueError(f"has a {self.scheme} URL with only one of user and password")
        return Credentials(unquote(self.username), unquote(self.password))

    def token(self) -> str:
        """Return the token that stands alone before the host, fit for an HTTP header."""
        if self.password or not self.username:
            raise ValueError(f"has a {self.scheme} URL without a token, or with more than one, before its host")
        token = unquote(self.username)
        if not (token.isascii() and token.isprintable()):
            raise ValueError(f"has a {self.scheme} URL with a token that cannot stand in a header")
        return token

    def options(self, *known: str) -> dict[str, str]:
        """Return the options in the query. Raises ValueError for an unknown option."""
        options = dict(parse_qsl(self.query, keep_blank_values=True))
        if not options.keys() <= set(known):
            raise ValueError(
                f"has a {self.scheme} URL with an option other than {' and '.join(sorted(known))}, rate and connections"
            )
        return options


@dataclass(frozen=True)
class GatewayAccount:
    """An SMS gateway that is a host, an account and a sender, as its URL describes it."""

    host: str
    port: int | None
    path: str
    credentials: Credentials
    sender: str
    has_tls: bool
    ssl_context: ssl.SSLContext
    options: Mapping[str, str]

    @property
    def web_scheme(self) -> str:
        """``https``, or ``http`` without TLS."""
        return "https" if self.has_tls else "http"


@dataclass(frozen=True)
class ProviderScheme:
    """The object of an entry point of ``signpost.providers``, whose name is the URL's scheme.

    ``make`` creates a provider and raises ValueError with a predicate if the URL is wrong. ``has_limits`` is
    whether the URL may have ``rate`` and ``connections``.
    """

    channels: frozenset[Channel]
    make: Callable[[ProviderUrl, DeliveryContext], Provider]
    has_limits: bool = True


def find_scheme(name: str) -> ProviderScheme:
    """Return the scheme that an installed package has registered. Raises ValueError with a predicate."""
    found = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not found:
        raise ValueError(f"has a URL whose scheme is not one of {', '.join(_sorted_names())}")
    if len(found) > 1:
        raise ValueError(f"has a {name} URL, and several packages register that scheme")
    try:
        scheme: ProviderScheme = found[name].load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"has a {name} URL, whose provider cannot be loaded: {error}") from error
    return scheme


def providers_from(urls: str, channel: Channel, context: DeliveryContext) -> tuple[CappedProvider, ...]:
    """Create the channel's providers in the order in which they are tried. Raises ValueError with a predicate.

    The circuit breaker, the rate and pauses belong to a provider's name. So the names of several accounts at one host
    also show which account it is.
    """
    entries = [url.strip() for url in urls.split(",")]
    providers = [_capped_provider(url, channel, context) for url in entries]
    count = Counter(each.provider.name for each in providers)
    return tuple(
        each if count[each.provider.name] == 1 else _capped_provider(url, channel, _of_account(url, context))
        for url, each in zip(entries, providers, strict=True)
    )


def check_provider_url(url: str, channel: Channel) -> None:
    """Raise ValueError with a predicate if the URL does not describe a provider of the channel."""
    _capped_provider(url.strip(), channel, DeliveryContext(sender="", timeout=timedelta(seconds=1)))


def gateway_account(url: ProviderUrl, *more_options: str) -> GatewayAccount:
    """Read the URL of an SMS gateway: ``scheme://user:password@host:port/path?from=…&tls=none&ca=…``."""
    options = url.options("from", "tls", "ca", *more_options)
    credentials = url.credentials()
    if credentials is None:
        raise ValueError(f"has a {url.scheme} URL without user and password")
    return GatewayAccount(
        host=url.host(),
        port=url.port,
        path=url.path.rstrip("/"),
        credentials=credentials,
        sender=_sender(options),
        has_tls=_has_tls(url, options),
        ssl_context=ssl_context(options.get("ca")),
        options=options,
    )


def beside_urls(file: str) -> Path:
    """Return the path of a file with a secret of an e-mail provider, which its URL names.

    A relative path starts in the folder of the file with the URLs, where systemd and containers place secrets. Under
    systemd, each unit has another folder. So the same URL works in a unit and in a command that an operator runs.
    """
    return Path(os.environ.get("EMAIL_PROVIDERS_FILE", "")).parent / file


def ssl_context(ca: str | None) -> ssl.SSLContext:
    """Return a context that trusts the machine's authorities and the one in file ``ca``."""
    if ca is None:
        return _machine_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca)
    except OSError:
        raise ValueError("has a URL whose ca is not a file of certificates that can be read") from None
    return context


@cache
def _machine_ssl_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Return the context that all providers share: reading the machine's authorities takes 20 ms of CPU.

    The parameters replace the machine's authorities; OpenSSL reads them from the environment.
    """
    return ssl.create_default_context()


def _of_account(url: str, context: DeliveryContext) -> DeliveryContext:
    """Return the context for one of several accounts at a host: a digest of its URL without password and limits.

    The user may be a key, and a weak one if an operator has chosen it. Operators see the digest, so it is slow to make.
    """
    _, parts = _caps(_split(url))
    place = parts.netloc.rpartition("@")[2]
    account = parts._replace(netloc=f"{parts.username or ''}@{place}").geturl()
    digest = scrypt(account.encode(), salt=b"signpost provider", n=2**14, r=8, p=1, dklen=3)
    return replace(context, account=digest.hex())


def _capped_provider(url: str, channel: Channel, context: DeliveryContext) -> CappedProvider:
    if not url:
        raise ValueError("has an empty entry")
    parts = _split(url)
    scheme = find_scheme(parts.scheme)
    if channel not in scheme.channels:
        raise ValueError(f"has a {parts.scheme} URL, which cannot deliver {channel} messages")
    if parts.fragment:
        raise ValueError("has a URL with a '#': in a user or password, write it as %23")
    if not scheme.has_limits:
        return CappedProvider(scheme.make(ProviderUrl(*parts), context))
    caps, parts = _caps(parts)
    return CappedProvider(scheme.make(ProviderUrl(*parts), context), caps)


def _split(url: str) -> SplitResult:
    if not url.isprintable():
        raise ValueError("has a URL with something in it that cannot be printed")
    try:
        parts = urlsplit(url)
        _ = parts.port  # urllib checks the port only when it is read
    except ValueError:  # its text quotes the URL
        raise ValueError("has a URL that cannot be read: is all in its user and password percent-encoded?") from None
    return parts


def _sorted_names() -> Iterable[str]:
    return sorted(entry_points(group=ENTRY_POINT_GROUP).names)


def _caps(parts: SplitResult) -> tuple[Caps, SplitResult]:
    """Return the limits in the URL, and the URL without them."""
    options = parse_qsl(parts.query, keep_blank_values=True)
    limits = {name: value for name, value in options if name in LIMITS}
    rest = urlencode([(name, value) for name, value in options if name not in LIMITS])
    return Caps(_rate(limits.get("rate")), _connections(limits.get("connections"))), parts._replace(query=rest)


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


def _has_tls(url: ProviderUrl, options: dict[str, str]) -> bool:
    if "tls" not in options:
        return True
    if options["tls"] != "none":
        raise ValueError(f"has a {url.scheme} URL whose tls is not none: it is encrypted without it")
    if not is_loopback(url.host()):
        raise ValueError(f"has a {url.scheme} URL in clear to another machine: it would show its password and codes")
    return False


def _sender(options: dict[str, str]) -> str:
    # A plus in a query means a space, but a number is commonly written as from=+1….
    sender = options.get("from", "")
    return f"+{sender.strip()}" if sender.startswith(" ") else sender
