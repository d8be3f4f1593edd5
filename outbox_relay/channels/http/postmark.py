"""Postmark's API, ``postmark://token@api.postmarkapp.com``: one POST of JSON for each e-mail.

Sources: https://postmarkapp.com/developer/api/email-api and https://postmarkapp.com/developer/api/overview#error-codes.
Postmark composes the mail itself, from parts. It has no idempotency key: a mail whose response was lost may be
delivered twice, with the same Message-ID.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formataddr
from typing import Any

from outbox_relay.channels.http.email_api import acceptance, api_account, parts_of, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, json_request
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.vocabulary import Channel

RULES = (
    HttpRule(FailureClass.PROVIDER, "the server's token is wrong", "error codes: 10", code="10"),
    HttpRule(FailureClass.PROVIDER, "Postmark is down for maintenance", "error codes: 100", code="100"),
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "error codes: 300, about 'To'",
        {422},
        "300",
        r"^(?:invalid|error parsing) .?to\b",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender's address is not valid or not verified: check EMAIL_FROM, and verify its domain under Sender"
        " Signatures",
        "error codes: 300, about 'From' or 'Reply-To'",
        {422},
        "300",
        r"^(?:invalid|error parsing) .?(?:from|reply-?to)\b",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender is not verified: verify its domain or address under Sender Signatures",
        "error codes: 400, 401",
        {422},
        "400|401",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account has no credits left: wait for the next period, or change the plan",
        "error codes: 405",
        {422},
        "405",
    ),
    HttpRule(
        FailureClass.RECIPIENT,
        "Postmark holds the address as inactive, after a hard bounce, a spam complaint or by hand: see Suppressions",
        "error codes: 406",
        {422},
        "406",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account is not approved yet, and only sends to addresses in the sender's domain: request approval",
        "error codes: 412",
        {422},
        "412",
    ),
    HttpRule(FailureClass.PROVIDER, "the account may not send", "error codes: 413", {422}, "413"),
    HttpRule(
        FailureClass.PROVIDER,
        "the message stream does not exist, or does not send: check stream in the URL",
        "error codes: 1235, 1236",
        {422},
        "1235|1236",
    ),
    *API_RULES,
)


@dataclass(frozen=True)
class PostmarkApi:
    """A server, as Postmark calls a sending account, at ``base_url``."""

    name: str
    base_url: str
    token: str = field(repr=False)
    stream: str

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message. Tracking would lead links with secrets through Postmark.

        X-PM-KeepID keeps Message-ID, which Postmark otherwise replaces.
        """
        mail = parts_of(rendered.content)
        headers = {**mail.headers, "X-PM-KeepID": "true"}
        body: dict[str, Any] = {
            "From": formataddr((mail.sender_name, mail.sender)),
            "To": rendered.message.recipient,
            "Subject": mail.subject,
            "TextBody": mail.text,
            "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            "Metadata": {MESSAGE_ID_NAME: str(rendered.message.id)},
            "MessageStream": self.stream,
            "TrackOpens": False,
            "TrackLinks": "None",
        }
        if mail.html:
            body["HtmlBody"] = mail.html
        if mail.reply_to:
            body["ReplyTo"] = mail.reply_to
        return json_request(f"{self.base_url}/email", body, self._headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        if response.is_success:
            return acceptance(self.name, response, response.json_object.get("MessageID"))
        return self._refusal(response)

    def account_request(self) -> HttpRequest:
        """Ask for the server that the token belongs to."""
        return HttpRequest(f"{self.base_url}/server", self._headers)

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return whether the token is wrong, or the server only pretends to send."""
        if not response.is_success:
            return self._refusal(response).error
        if not response.json_object:
            return "the response is not the API's: check host and endpoint"
        is_sandbox = response.json_object.get("DeliveryType") == "Sandbox"
        return "the server is a sandbox, which delivers no mail: use the token of a live server" if is_sandbox else None

    def _refusal(self, response: HttpResponse) -> Failure:
        body = response.json_object
        return refusal(self.name, RULES, response, code=body.get("ErrorCode"), text=body.get("Message"))

    @property
    def _headers(self) -> Mapping[str, str]:
        # Postmark refuses a request whose Accept does not name JSON.
        return {"X-Postmark-Server-Token": self.token, "Accept": "application/json"}


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context, "stream")
    api = PostmarkApi(account.name, account.base_url, account.key, account.options.get("stream", "outbound"))
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


POSTMARK = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
