"""A server that takes raw e-mails, ``https+mime://token@host/path``: one POST for each, any 2xx means accepted.

The body is the e-mail (RFC 5322), with its Message-ID and DKIM signatures. The envelope is in two headers, because the
e-mail does not have it: its sender may differ from From, so that bounces return to the right place.
"""

from base64 import b64encode
from dataclasses import dataclass, field

from outbox_relay.channels.http.email_api import refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, message_id_in
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, ssl_context
from outbox_relay.failures.http import API_RULES, REQUEST_STATUSES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.return_paths import BounceAddress
from shared.urls import is_loopback
from shared.vocabulary import Channel

RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the server refuses the recipient",
        "RFC 9110 §15.5.1, §15.5.21",
        REQUEST_STATUSES,
        "invalid_recipient",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the server does not accept this sender",
        "RFC 9110 §15.5.1, §15.5.21",
        REQUEST_STATUSES,
        "invalid_sender",
    ),
    HttpRule(FailureClass.CONTENT, "the server refuses the e-mail", "RFC 9110 §15.5.1, §15.5.14", REQUEST_STATUSES),
    HttpRule(
        FailureClass.TRANSIENT,
        "an earlier request with the same Idempotency-Key is still running",
        "draft-ietf-httpapi-idempotency-key-header",
        {409},
    ),
    *API_RULES,
)


@dataclass(frozen=True)
class MimeApi:
    """A server that takes e-mails at ``url``. ``authorization`` may be empty."""

    name: str
    url: str
    authorization: str = field(repr=False)
    sender: str
    bounces: BounceAddress | None = None

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message. Its id is the idempotency key."""
        message = rendered.message
        headers = {
            "Content-Type": "message/rfc822",
            "Idempotency-Key": str(message.id),
            "X-Envelope-From": self.bounces.sender_of(message.id, message.recipient) if self.bounces else self.sender,
            "X-Envelope-To": message.recipient,
        }
        if self.authorization:
            headers["Authorization"] = self.authorization
        return HttpRequest(self.url, headers, rendered.content)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        body = response.json_object
        if response.is_success:
            return Sent(self.name, message_id_in(body.get("id")))
        return refusal(self.name, RULES, response, code=body.get("code"), text=body.get("message"))


def _authorization(url: ProviderUrl) -> str:
    if url.username is None:
        return ""
    if url.password is None:
        return f"Bearer {url.token()}"
    credentials = url.credentials()
    assert credentials  # noqa: S101 - there is a user
    return f"Basic {b64encode(f'{credentials.user}:{credentials.password}'.encode()).decode()}"


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    options, host = url.options("ca"), url.host()
    if url.scheme == "http+mime" and not is_loopback(host):
        raise ValueError("has a http+mime URL to another machine: its codes would go in clear")
    at = url.netloc.rpartition("@")[2]
    target = f"{url.scheme.removesuffix('+mime')}://{at}{url.path}"
    api = MimeApi(context.name(f"{url.scheme}:{at}"), target, _authorization(url), context.sender, context.bounces)
    return HttpProvider(api, ssl_context(options.get("ca")), context.timeout.total_seconds())


MIME = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
