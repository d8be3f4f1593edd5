"""SMS gateways that are a host, an account and a sender: Twilio, Kannel and SMPP, made from what their URLs say."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from outbox_relay.channels.base import Provider
from outbox_relay.channels.http.session import HttpProvider
from outbox_relay.channels.kannel.api import KannelApi
from outbox_relay.channels.smpp.connection import Smsc
from outbox_relay.channels.smpp.pdus import LONGEST_NUMBER, LONGEST_PASSWORD, LONGEST_SYSTEM_ID
from outbox_relay.channels.smpp.session import SmppProvider
from outbox_relay.channels.twilio.api import TwilioApi
from shared.urls import place

KANNEL_PORT = 13013
SENDSMS = "/cgi-bin/sendsms"
SMPP_PORT = 2775
SMPP_TLS_PORT = 3550


@dataclass(frozen=True)
class Gateway:
    """What a gateway's URL says; ``timeout`` is in seconds, for one letter."""

    host: str
    port: int | None
    path: str
    user: str
    password: str = field(repr=False)
    sender: str
    has_tls: bool
    ssl_context: ssl.SSLContext
    timeout: float

    @property
    def web_scheme(self) -> str:
        """``https``, or ``http`` in clear."""
        return "https" if self.has_tls else "http"


def twilio(gateway: Gateway) -> Provider:
    """Make a provider of a Twilio account: ``user`` is its SID. Raises ValueError, with a predicate."""
    if gateway.path or not gateway.sender:
        raise ValueError("has a twilio URL with a path, or without a from")
    at = place(gateway.host, gateway.port)
    base_url = f"{gateway.web_scheme}://{at}"
    api = TwilioApi(f"twilio:{at}", base_url, gateway.user, gateway.password, gateway.sender)
    return HttpProvider(api, gateway.ssl_context, gateway.timeout)


def kannel(gateway: Gateway) -> Provider:
    """Make a provider of a Kannel smsbox; its path is sendsms's where it is not the usual one."""
    at = place(gateway.host, gateway.port or KANNEL_PORT)
    url = f"{gateway.web_scheme}://{at}{gateway.path or SENDSMS}"
    api = KannelApi(f"kannel:{at}", url, gateway.user, gateway.password, gateway.sender)
    return HttpProvider(api, gateway.ssl_context, gateway.timeout)


def smpp(gateway: Gateway) -> Provider:
    """Make a provider of an SMSC. Raises ValueError, with a predicate."""
    if gateway.path or not gateway.sender or not _fits(gateway.sender, LONGEST_NUMBER):
        raise ValueError(f"has a smpp URL with a path, or whose from is not 1 to {LONGEST_NUMBER} plain characters")
    if not (_fits(gateway.user, LONGEST_SYSTEM_ID) and _fits(gateway.password, LONGEST_PASSWORD)):
        raise ValueError(f"has a smpp URL with a user over {LONGEST_SYSTEM_ID} or a password over {LONGEST_PASSWORD}")
    smsc = Smsc(
        host=gateway.host,
        port=gateway.port or (SMPP_TLS_PORT if gateway.has_tls else SMPP_PORT),
        ssl_context=gateway.ssl_context if gateway.has_tls else None,
        system_id=gateway.user,
        password=gateway.password,
        timeout=gateway.timeout,
    )
    return SmppProvider(smsc, gateway.sender)


GATEWAYS: Mapping[str, Callable[[Gateway], Provider]] = {"twilio": twilio, "kannel": kannel, "smpp": smpp}


def _fits(text: str, longest: int) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= longest
