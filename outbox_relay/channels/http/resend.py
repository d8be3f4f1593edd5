"""Resend's API, ``resend://re_key@api.resend.com``: one POST of JSON for each e-mail.

Sources: https://resend.com/docs/api-reference/emails/send-email and https://resend.com/docs/api-reference/errors.
Resend composes the mail itself, from parts. A repeated request with the same Idempotency-Key within 24 hours sends
no second mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formataddr
from hashlib import blake2b
from typing import Any

from outbox_relay.channels.http.email_api import acceptance, api_account, objects_in, parts_of, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse, json_request
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.vocabulary import Channel

RULES = (
    HttpRule(
        FailureClass.PROVIDER,
        "the key is wrong, was revoked, or may not send from this domain",
        "errors: missing_api_key, restricted_api_key, invalid_api_key",
        {400, 401, 403},
        text=r"\bapi key\b",
    ),
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "errors: validation_error",
        {400, 422},
        text=r"invalid .?to.? field",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender's address is not valid: check EMAIL_FROM",
        "errors: validation_error, invalid_from_address",
        {400, 422},
        text=r"invalid .?from.? field",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sender's domain is not verified: verify it under Domains",
        "errors: validation_error 403",
        {403},
        text=r"not verified",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "without a verified domain, Resend only sends to the account's own address: verify one under Domains",
        "errors: validation_error 403",
        {403},
        text=r"only send testing emails",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the quota of the day or the month is used up",
        "errors: daily_quota_exceeded, monthly_quota_exceeded",
        {429},
        code="daily_quota_exceeded|monthly_quota_exceeded",
    ),
    HttpRule(FailureClass.PROVIDER, "too many requests: set rate in the URL", "errors: rate_limit_exceeded", {429}),
    HttpRule(
        FailureClass.TRANSIENT,
        "an earlier request with the same Idempotency-Key is still running",
        "errors: concurrent_idempotent_requests",
        {409},
    ),
    HttpRule(FailureClass.PROVIDER, "Resend found a security issue with the request", "errors: security_error", {451}),
    *API_RULES,
)


@dataclass(frozen=True)
class ResendApi:
    """An account at ``base_url``."""

    name: str
    base_url: str
    key: str = field(repr=False)
    sender: str

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message.

        Resend refuses a key that it has seen with other contents. An operator may have corrected the recipient, so the
        key also has a hash of the mail, which is the same at each attempt.
        """
        mail, message_id = parts_of(rendered.content), str(rendered.message.id)
        body: dict[str, Any] = {
            "from": formataddr((mail.sender_name, mail.sender)),
            "to": [rendered.message.recipient],
            "subject": mail.subject,
            "text": mail.text,
            "headers": mail.headers,
            "tags": [{"name": MESSAGE_ID_NAME, "value": message_id}],
        }
        if mail.html:
            body["html"] = mail.html
        if mail.reply_to:
            body["reply_to"] = mail.reply_to
        contents = blake2b(rendered.content, digest_size=8).hexdigest()
        headers = {**self._headers, "Idempotency-Key": f"{message_id}/{contents}"}
        return json_request(f"{self.base_url}/emails", body, headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        body = response.json_object
        if response.is_success:
            return acceptance(self.name, response, body.get("id"))
        return self._refusal(response)

    def account_request(self) -> HttpRequest:
        """Ask for the domains."""
        return HttpRequest(f"{self.base_url}/domains", self._headers)

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return whether the key is wrong, or the sender's domain is not verified.

        A key that may only send does not see the domains.
        """
        if not response.is_success:
            is_restricted = response.json_object.get("name") == "restricted_api_key"
            return None if is_restricted else self._refusal(response).error
        states = {domain.get("name"): domain.get("status") for domain in objects_in(response.json_object.get("data"))}
        domain = self.sender.rpartition("@")[2]
        if states.get(domain) == "verified":
            return None
        return f"the sender's domain {domain} is {states.get(domain) or 'not there'}: verify it under Domains"

    def _refusal(self, response: HttpResponse) -> Failure:
        body = response.json_object
        return refusal(self.name, RULES, response, code=body.get("name"), text=body.get("message"))

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context)
    api = ResendApi(account.name, account.base_url, account.key, context.sender)
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


RESEND = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
