"""SendGrid's Mail Send API, ``sendgrid://SG.key@api.sendgrid.com``: one POST of JSON for each e-mail.

Sources: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send, …/mail-send/errors, and the article
"4XX API Errors and Troubleshooting Suggestions" of SendGrid's support. SendGrid composes the mail itself, from parts.
It has no idempotency key: a mail whose response was lost may be delivered twice, with the same Message-ID.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from outbox_relay.channels.http.email_api import acceptance, api_account, parts_of, person, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, json_request
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.vocabulary import Channel

# The API names no codes. So ``code`` is the field that an error is about, and ``text`` is its message.
RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "Mail Send errors: message.personalizations.to",
        {400},
        code=r"personalizations\.\d+\.to.*",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender's address is not valid: check EMAIL_FROM",
        "Mail Send errors: message.from",
        {400},
        code=r"(?:from|reply_to).*",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account has no credits left: wait for the next period, or change the plan",
        "4XX API Errors: Maximum credits exceeded",
        {401},
        text="credits exceeded",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the key is wrong, was deleted, or lacks the permission Mail Send",
        "4XX API Errors: The provided authorization grant is invalid, expired, or revoked",
        {401},
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender is not verified: verify its domain or address in Sender Authentication",
        "Twilio error 60222: does not match a verified Sender Identity",
        {403},
        text="verified sender identity|sender identities",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the key lacks the permission Mail Send, or the account is under review",
        "4XX API Errors: access forbidden",
        {403},
    ),
    HttpRule(FailureClass.PROVIDER, "too many requests", "Mail Send: 429, X-RateLimit-Reset", {429}),
    *API_RULES,
)

NO_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}
"""Links in these mails carry secrets, and must not lead through SendGrid's servers."""


@dataclass(frozen=True)
class SendgridApi:
    """An account at ``base_url``."""

    name: str
    base_url: str
    key: str = field(repr=False)

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message."""
        mail = parts_of(rendered.content)
        contents = (("text/plain", mail.text), ("text/html", mail.html))
        # Here, because SendGrid's OpenAPI document allows an object with strings in a personalization only.
        custom_args = {MESSAGE_ID_NAME: str(rendered.message.id)}
        body: dict[str, Any] = {
            "personalizations": [{"to": [{"email": rendered.message.recipient}], "custom_args": custom_args}],
            "from": person(mail.sender, mail.sender_name),
            "subject": mail.subject,
            "content": [{"type": kind, "value": text} for kind, text in contents if text],
            "headers": mail.headers,
            "tracking_settings": NO_TRACKING,
        }
        if mail.reply_to:
            body["reply_to"] = person(mail.reply_to)
        return json_request(f"{self.base_url}/v3/mail/send", body, self._headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result. The first error decides."""
        if response.is_success:
            message_id = response.headers.get("X-Message-Id")
            is_documented = response.status == HTTPStatus.ACCEPTED and not response.content
            return Sent(self.name) if is_documented and not message_id else acceptance(self.name, response, message_id)
        return self._refusal(response)

    def account_request(self) -> HttpRequest:
        """Ask for the permissions of the key."""
        return HttpRequest(f"{self.base_url}/v3/scopes", self._headers)

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return whether the key is wrong, or lacks the permission."""
        if not response.is_success:
            return self._refusal(response).error
        scopes = response.json_object.get("scopes")
        return None if isinstance(scopes, list) and "mail.send" in scopes else "the key lacks the permission Mail Send"

    def _refusal(self, response: HttpResponse) -> Failure:
        errors = response.json_object.get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        return refusal(self.name, RULES, response, code=first.get("field"), text=first.get("message"))

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context)
    api = SendgridApi(account.name, account.base_url, account.key)
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


SENDGRID = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
