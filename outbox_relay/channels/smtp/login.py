"""How the relay logs in to a mail server: the user, the source of the secret, and the mechanisms for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from outbox_relay.channels.base import Credentials
from outbox_relay.channels.smtp.sasl import PASSWORD_MECHANISMS, TOKEN_MECHANISMS, Exchange, Mechanism
from outbox_relay.channels.smtp.tokens import Secret, TokenEndpoint, TokenError, TokenSource, read_secret
from outbox_relay.channels.urls import ProviderUrl, beside_urls, ssl_context
from shared.urls import is_loopback, is_web_url

TOKEN_OPTIONS = ("token_url", "client_id", "client_secret_file", "refresh_token_file", "scope")
LOGIN_OPTIONS = ("auth", *TOKEN_OPTIONS)


class SecretSource(Protocol):
    """Where the secret of each login comes from."""

    async def current(self) -> Secret:
        """Return the secret to present now. Raises OSError if it is unavailable."""


@dataclass(frozen=True)
class Password:
    """A password in the settings."""

    text: str = field(repr=False)

    async def current(self) -> Secret:
        """Return the password."""
        return Secret(self.text)


@dataclass(frozen=True)
class Login:
    """A user, the source of the secret, and the mechanisms in order of preference."""

    user: str = field(repr=False)
    source: SecretSource
    mechanisms: Mapping[str, Mechanism] = field(repr=False)

    def begin(self, offered: Collection[str], secret: Secret) -> tuple[str, Exchange]:
        """Return the name and the exchange of the best mechanism that the server offers."""
        for name, mechanism in self.mechanisms.items():
            if name in offered:
                return name, mechanism(self.user, secret.value)
        raise ConnectionRefusedError(f"the server does not offer AUTH {' or '.join(self.mechanisms)}")


def password_login(credentials: Credentials, mechanisms: Mapping[str, Mechanism] = PASSWORD_MECHANISMS) -> Login:
    """Return the login with user and password."""
    return Login(credentials.user, Password(credentials.password), mechanisms)


def login_from(url: ProviderUrl, options: Mapping[str, str], provider: str) -> Login | None:
    """Read the login from a provider's URL, or return None without one. Raises ValueError with a predicate.

    ``provider`` is the provider's name in logs.
    """
    name = options.get("auth", "").upper()
    if name in TOKEN_MECHANISMS:
        return _token_login(url, options, provider, name)
    if options.keys() & set(TOKEN_OPTIONS):
        raise ValueError(
            f"has a {url.scheme} URL with options for tokens, but without auth=xoauth2 or auth=oauthbearer"
        )
    credentials = url.credentials()
    if "auth" not in options:
        return password_login(credentials) if credentials else None
    if name not in PASSWORD_MECHANISMS:
        known = ", ".join(each.lower() for each in (*PASSWORD_MECHANISMS, *TOKEN_MECHANISMS))
        raise ValueError(f"has a {url.scheme} URL whose auth is not one of {known}")
    if credentials is None:
        raise ValueError(f"has a {url.scheme} URL with auth, but without user and password")
    return password_login(credentials, {name: PASSWORD_MECHANISMS[name]})


def _token_login(url: ProviderUrl, options: Mapping[str, str], provider: str, name: str) -> Login:
    if not url.username or url.password is not None:
        raise ValueError(f"has a {url.scheme} URL whose auth needs a user and no password")
    token_url, client_id = options.get("token_url", ""), options.get("client_id")
    if not (is_web_url(token_url) and token_url.isascii()):
        raise ValueError(f"has a {url.scheme} URL without a token_url that is an https URL")
    target = urlsplit(token_url)
    if target.scheme != "https" and not is_loopback(target.hostname or ""):
        raise ValueError(f"has a {url.scheme} URL whose token_url is not https: it would show its secrets")
    if not client_id:
        raise ValueError(f"has a {url.scheme} URL without a client_id")
    secret, refresh = (_file(url, options, each) for each in ("client_secret_file", "refresh_token_file"))
    if not (secret or refresh):
        raise ValueError(f"has a {url.scheme} URL with neither client_secret_file nor refresh_token_file")
    trusted = ssl_context(options.get("ca")) if target.scheme == "https" else None
    endpoint = TokenEndpoint(token_url, client_id, secret, refresh, options.get("scope"), trusted)
    return Login(unquote(url.username), TokenSource(provider, endpoint), {name: TOKEN_MECHANISMS[name]})


def _file(url: ProviderUrl, options: Mapping[str, str], option: str) -> Path | None:
    if option not in options:
        return None
    path = beside_urls(options[option])
    try:
        read_secret(path)
    except TokenError:
        raise ValueError(f"has a {url.scheme} URL whose {option} is empty or cannot be read") from None
    return path
