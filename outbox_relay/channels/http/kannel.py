"""Kannel's sendsms, ``kannel://user:password@host:13013?from=…``: one GET for each message.

Sources: the Kannel user's guide, "Using the HTTP interface to SMS services", and gw/smsbox.c of Kannel 1.4. A GET,
since many servers that imitate Kannel reject a POST. There is no idempotency key: a message whose response was lost
may be delivered twice.
"""

from dataclasses import dataclass, field

from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, query_request
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, gateway_account
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from outbox_relay.sms_segments import Alphabet, alphabet_of
from shared.reports.return_paths import CallbackUrl, Gateway
from shared.urls import host_and_port
from shared.vocabulary import Channel

DEFAULT_PORT = 13013
SENDSMS_PATH = "/cgi-bin/sendsms"

DLR_MASK = 31
"""Asks for reports of all kinds."""
DLR_QUERY = "?type=%d&id=%F&answer=%A"
"""Kannel replaces the kind of report, the SMSC's id of the message, and the SMSC's text."""

ACCEPTED = 202
ACCEPTED_TEXTS = ("0: Accepted", "3: Queued")
"""Start of the body when a message is accepted with status 200. Servers that imitate Kannel do this."""

_CODING = {Alphabet.GSM_7: "0", Alphabet.UCS_2: "2"}

# The status is too coarse: 403 means both a wrong password and a number without a route. So the body decides.
_CLASSES = {
    "Number(s) has/have been denied": FailureClass.RECIPIENT,  # by an allow list or a block list
    "Missing receiver number": FailureClass.RECIPIENT,
    "Empty receiver number": FailureClass.RECIPIENT,
    "Charset or body misformed": FailureClass.CONTENT,
    "Empty text not allowed": FailureClass.CONTENT,
}
_ABOUT_MESSAGE = (*_CLASSES, "Not routable")
_ABOUT_ACCOUNT = ("Authorization failed", "Sender missing", "Temporal failure")
_REQUEST_STATUSES = frozenset({400, 500})


@dataclass(frozen=True)
class KannelApi:
    """A smsbox whose sendsms is at ``url``. ``sender`` may be empty if Kannel sets one."""

    name: str
    url: str
    user: str
    password: str = field(repr=False)
    sender: str
    callback_url: CallbackUrl | None = None

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message. Kannel splits a long one into segments itself."""
        text = rendered.content.decode()
        params = {
            "username": self.user,
            "password": self.password,
            "to": rendered.message.recipient,
            "text": text,
            "coding": _CODING[alphabet_of(text)],
            "charset": "UTF-8",
        }
        if rendered.valid_seconds is not None:
            params["validity"] = str(max(rendered.valid_seconds // 60, 1))  # in minutes
        if self.callback_url:
            url = self.callback_url(Gateway.KANNEL, rendered.message.id, rendered.message.recipient)
            params |= {"dlr-mask": str(DLR_MASK), "dlr-url": url + DLR_QUERY}
        return query_request(self.url, params | ({"from": self.sender} if self.sender else {}))

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result.

        *Queued* counts as accepted: Kannel keeps the message until its SMSC is back.
        """
        text = response.text
        if response.status == ACCEPTED or (response.is_success and text.startswith(ACCEPTED_TEXTS)):
            return Sent(self.name)
        if response.is_success and any(accepted.startswith(text) for accepted in ACCEPTED_TEXTS):
            # The body was cut off, so Kannel may have accepted the message. The failure costs an attempt; otherwise the
            # relay could send the message again without limit.
            error = f"HTTP {response.status} without a whole response"
            return Failure(FailureClass.TRANSIENT, self.name, error, maybe_accepted=True)
        is_about_message = _is_about_message(response.status, text)
        return response.failure(self.name, _class_of(text), detail=text, is_about_message=is_about_message)


def _class_of(text: str) -> FailureClass:
    """Classify a refusal by how its text begins. Any other text is the provider's fault.

    That includes "Not routable. Do not try again.": the route may be missing because of our configuration, and another
    provider may have a route.
    """
    return next((kind for start, kind in _CLASSES.items() if text.startswith(start)), FailureClass.PROVIDER)


def _is_about_message(status: int, text: str) -> bool:
    return text.startswith(_ABOUT_MESSAGE) or (status in _REQUEST_STATUSES and not text.startswith(_ABOUT_ACCOUNT))


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = gateway_account(url)
    at, credentials = host_and_port(account.host, account.port or DEFAULT_PORT), account.credentials
    sendsms = f"{account.web_scheme}://{at}{account.path or SENDSMS_PATH}"
    api = KannelApi(
        context.name(f"kannel:{at}"),
        sendsms,
        credentials.user,
        credentials.password,
        account.sender,
        context.callback_url,
    )
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


KANNEL = ProviderScheme(frozenset({Channel.SMS}), _provider)
