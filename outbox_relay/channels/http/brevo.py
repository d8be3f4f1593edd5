"""Brevo's API, ``brevo://xkeysib-key@api.brevo.com``: one POST of JSON for each e-mail.

Sources: https://developers.brevo.com/reference/send-transac-email and https://developers.brevo.com/docs/how-it-works.
Brevo composes the mail itself, from parts, and sets Message-ID.

This module does not use Brevo's idempotency key. Brevo refuses a key that it has seen in the last 30 minutes, and the
refusal does not show whether Brevo accepted the first request. If it did not, the mail would be lost. So a mail whose
response was lost may be delivered twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from outbox_relay.channels.http.email_api import acceptance, api_account, objects_in, parts_of, person, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, json_request
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import BREVO_HEADER, brevo_header
from shared.vocabulary import Channel

RULES = (
    HttpRule(
        FailureClass.PROVIDER,
        "the key does not allow this machine's address: add it under Security, Authorized IPs",
        "Authorized IPs: 401",
        {401},
        text=r"\bip address\b",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the key is wrong or was deleted: an SMTP key does not work here",
        "error codes: unauthorized",
        {401},
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account has no credits left: wait for the next day, or change the plan",
        "error codes: not_enough_credits",
        code="not_enough_credits",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account is under validation, or transactional mail is not activated: ask Brevo to activate it",
        "error codes: account_under_validation, permission_denied",
        code="account_under_validation|permission_denied",
    ),
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "error codes: invalid_parameter, about to",
        {400},
        "invalid_parameter",
        r"\bin to\b|^to\b",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender is not valid: check EMAIL_FROM, and authenticate its domain under Senders, Domains",
        "error codes: invalid_parameter, missing_parameter, about sender",
        {400},
        "invalid_parameter|missing_parameter",
        r"\bsender\b|\breply-?to\b",
    ),
    HttpRule(
        FailureClass.PROVIDER, "too many requests: set rate in the URL", "Rate limits: x-sib-ratelimit-reset", {429}
    ),
    *API_RULES,
)


@dataclass(frozen=True)
class BrevoApi:
    """An account at ``base_url``."""

    name: str
    base_url: str
    key: str = field(repr=False)
    sender: str

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message. Brevo takes no standard headers, such as Message-ID."""
        mail = parts_of(rendered.content)
        custom = {name: value for name, value in mail.headers.items() if name.lower() != "message-id"}
        body: dict[str, Any] = {
            "sender": person(mail.sender, mail.sender_name),
            "to": [person(rendered.message.recipient)],
            "subject": mail.subject,
            "textContent": mail.text,
            "headers": {**custom, BREVO_HEADER: brevo_header(rendered.message.id)},
        }
        if mail.html:
            body["htmlContent"] = mail.html
        if mail.reply_to:
            body["replyTo"] = person(mail.reply_to)
        return json_request(f"{self.base_url}/v3/smtp/email", body, self._headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        if response.is_success:
            return acceptance(self.name, response, response.json_object.get("messageId"))
        return self._refusal(response)

    def account_request(self) -> HttpRequest:
        """Ask for the domains."""
        return HttpRequest(f"{self.base_url}/v3/senders/domains", self._headers)

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return whether the key is wrong, or the sender's domain is not authenticated.

        Brevo accepts mails of such a sender, and then does not deliver them.
        """
        if not response.is_success:
            return self._refusal(response).error
        authenticated = {
            domain.get("domain_name")
            for domain in objects_in(response.json_object.get("domains"))
            if domain.get("authenticated") is True
        }
        domain = self.sender.rpartition("@")[2]
        if domain in authenticated:
            return None
        return f"the sender's domain {domain} is not authenticated: authenticate it under Senders, Domains"

    def _refusal(self, response: HttpResponse) -> Failure:
        body = response.json_object
        if response.status == HTTPStatus.TOO_MANY_REQUESTS and (reset := response.headers.get("x-sib-ratelimit-reset")):
            # In seconds, like Retry-After, which Brevo does not send. Other responses have this header, too.
            response = replace(response, headers={"Retry-After": reset})
        return refusal(self.name, RULES, response, code=body.get("code"), text=body.get("message"))

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"api-key": self.key, "Accept": "application/json"}


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context)
    api = BrevoApi(account.name, account.base_url, account.key, context.sender)
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


BREVO = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
