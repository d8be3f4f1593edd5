"""The client (aiohttp) of all HTTP requests to providers and to their token endpoints, with the environment's proxy."""

import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from outbox_relay.failures.network import root_cause
from shared.urls import is_web_url

LONGEST_IDLE_SECONDS = 4.0
"""Servers close idle connections, Node's after five seconds. After this idle time, the client opens a new one,
because the server may close the old one just when the relay sends a message."""


def open_client(
    url: str, ssl_context: ssl.SSLContext | None, timeout: aiohttp.ClientTimeout, **options: Any
) -> aiohttp.ClientSession:
    """Create a client with one connection, for requests to the host of ``url``. ``options`` are aiohttp's.

    Raises ConnectionAbortedError like ``proxy_for``.
    """
    proxy = proxy_for(url)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=1, ssl=ssl_context or True, keepalive_timeout=LONGEST_IDLE_SECONDS, use_dns_cache=False
        ),
        headers={"User-Agent": "Signpost", "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),  # cookies would link messages to each other and grow with each response
        auto_decompress=False,
        proxy=proxy,
        **options,
    )


def proxy_for(url: str) -> str | None:
    """Return the proxy for a URL, as HTTPS_PROXY, ALL_PROXY and NO_PROXY select it, also in lower case.

    Plain HTTP only goes to this machine, so it never goes through a proxy. Raises ConnectionAbortedError if the setting
    is not the URL of an HTTP proxy.
    """
    parts, proxies = urlsplit(url), getproxies()
    if parts.scheme == "http" or proxy_bypass(parts.netloc):
        return None
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_web_url(proxy):
        raise ConnectionAbortedError("HTTPS_PROXY or ALL_PROXY is not a URL with http or https")
    return proxy


def cause_of(error: BaseException) -> BaseException:
    """Return the error beneath aiohttp's, whose own texts repeat the URL, with a proxy's or Kannel's password."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return ConnectionAbortedError(f"HTTP {error.status} from the proxy: {error.message}")
        case aiohttp.ClientResponseError():
            return ConnectionAbortedError(f"the response is not HTTP: {error.message}")
        case aiohttp.InvalidURL():
            return ConnectionAbortedError("the URL is not valid")
        case _:
            return root_cause(error.__cause__ if isinstance(error, aiohttp.ClientError) and error.__cause__ else error)
