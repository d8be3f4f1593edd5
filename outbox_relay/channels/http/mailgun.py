"""Mailgun's API, ``mailgun://key@api.mailgun.net/mg.example.org``: one POST of raw MIME for each e-mail.

Sources: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages and the errors of Mailgun's
help center. The path names the sending domain. The mail is sent exactly as rendered. Mailgun has no idempotency key: a
mail whose response was lost may be delivered twice, with the same Message-ID.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from http import HTTPStatus

from outbox_relay.channels.http.email_api import acceptance, api_account, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.vocabulary import Channel

RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "Messages: 400, 'to' parameter is not a valid address",
        {400},
        text=r"'?to'? parameter is not a valid address|to parameter is missing",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "a sandbox domain only sends to authorized recipients: add the recipient, or use a domain of your own",
        "Sandbox domain: 400 and 403, authorized recipients",
        {400, 403},
        text=r"sandbox|authorized recipients|free accounts are for test",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the domain is not verified: add its DNS records, and verify it under Domains",
        "Messages: 400 and 403, domain is not verified or not allowed to send",
        {400, 403},
        text=r"unverified|not verified|not allowed to send",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the key is wrong, or belongs to the other region: the EU's host is api.eu.mailgun.net",
        "Authentication: 401 Unauthorized, Forbidden",
        {401},
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the domain in the URL's path is not in this account or this region",
        "Messages: 404, Domain not found",
        {404},
    ),
    HttpRule(FailureClass.PROVIDER, "the account is disabled or under review", "Messages: 403", {403}),
    HttpRule(FailureClass.PROVIDER, "too many messages for the plan or the domain", "Messages: 429", {429}),
    *API_RULES,
)

BOUNDARY = "=_form"
"""Two hex digits or a line end follow each ``=`` in a rendered mail, so this cannot occur in it."""


@dataclass(frozen=True)
class MailgunApi:
    """A sending domain, with its messages at ``url``."""

    name: str
    url: str
    key: str = field(repr=False)

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message. Tracking would lead links with secrets through Mailgun."""
        fields = {
            "to": rendered.message.recipient,
            "o:tracking": "no",
            f"v:{MESSAGE_ID_NAME}": str(rendered.message.id),
        }
        return self._form_request(fields, rendered.content)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        body = response.json_object
        if response.is_success:
            return acceptance(self.name, response, body.get("id"))
        return refusal(self.name, RULES, response, text=body.get("message"))

    def account_request(self) -> HttpRequest:
        """Submit a form without a recipient, which Mailgun refuses. A sending key allows no other request."""
        return self._form_request({"o:testmode": "yes"}, b"")

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return any problem but the missing recipient, which comes after the checks of key and domain."""
        result = self.interpret(response)
        if isinstance(result, Sent) or result.kind is FailureClass.RECIPIENT:
            return None
        is_another_field = response.status == HTTPStatus.BAD_REQUEST and result.is_about_message
        return None if is_another_field else result.error

    def _form_request(self, fields: dict[str, str], mail: bytes) -> HttpRequest:
        headers = {
            "Authorization": f"Basic {b64encode(f'api:{self.key}'.encode()).decode()}",
            "Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"',
        }
        return HttpRequest(self.url, headers, _form(fields, mail))


def _form(fields: dict[str, str], mail: bytes) -> bytes:
    """Return the body of a form with a file (RFC 7578)."""
    start = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = "".join(f'{start}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    file = f'{start}"message"; filename="message.eml"\r\nContent-Type: message/rfc822\r\n\r\n'
    return b"".join((texts.encode(), file.encode(), mail, f"\r\n--{BOUNDARY}--\r\n".encode()))


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context, takes_path=True)
    if not account.path or "/" in account.path:
        raise ValueError("has a mailgun URL whose path is not the sending domain")
    messages = f"{account.base_url}/v3/{account.path}/messages.mime"
    return HttpProvider(
        MailgunApi(account.name, messages, account.key), account.ssl_context, context.timeout.total_seconds()
    )


MAILGUN = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
