"""Amazon SES's API v2, ``ses://AKIA…:secret@email.eu-west-1.amazonaws.com``: one POST of raw MIME for each e-mail.

Sources: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html for SendEmail and its errors, and
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html for signatures. SES has no
idempotency key: a mail whose response was lost may be delivered twice. SES replaces the Message-ID.
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, urlsplit

from outbox_relay.channels.http.email_api import acceptance, api_account, refusal
from outbox_relay.channels.http.session import HttpProvider, HttpRequest, HttpResponse
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.http import API_RULES, HttpRule
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.reports.return_paths import BounceAddress
from shared.vocabulary import Channel

SEND_PATH = "/v2/email/outbound-emails"
ACCOUNT_PATH = "/v2/email/account"
_REGION = re.compile(r"email(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_REGION_NAME = re.compile(r"[a-z0-9-]+")

# The code is the name of the exception, in the header x-amzn-ErrorType.
RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the recipient's address is not valid",
        "API reference: BadRequestException",
        {400},
        code="BadRequestException|InvalidParameterValue|ValidationException",
        text=r"illegal address|invalid (?:to|email) address|missing final '@domain'|contains control or white",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "sender or recipient is not verified. In the sandbox, SES only sends to verified addresses: request production"
        " access, or verify EMAIL_FROM's domain",
        "Email sending errors: Email address is not verified",
        {400},
        text=r"not verified|is not authorized to (?:use|send)",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the domain of MAIL FROM is not verified: check its MX record",
        "API reference: MailFromDomainNotVerifiedException",
        code="MailFromDomainNotVerifiedException",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the account may not send: see the reputation dashboard",
        "API reference: AccountSuspendedException, SendingPausedException",
        code="AccountSuspendedException|SendingPausedException|AccountSendingPausedException",
    ),
    HttpRule(
        FailureClass.CONTENT,
        "SES refuses the content",
        "API reference: MessageRejected",
        {400},
        code="MessageRejected",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the sending quota of the day is used up, or the rate is too high: set rate in the URL",
        "API reference: TooManyRequestsException, LimitExceededException; Email sending errors: Throttling",
        code="TooManyRequestsException|LimitExceededException|Throttling(?:Exception)?",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the access key is wrong or disabled, or its secret is wrong",
        "Common errors: UnrecognizedClientException, InvalidClientTokenId, InvalidSignatureException",
        code="UnrecognizedClientException|InvalidClientTokenId|InvalidSignatureException|SignatureDoesNotMatch"
        "|IncompleteSignature|MissingAuthenticationToken(?:Exception)?|ExpiredToken(?:Exception)?",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the policy of the access key does not allow ses:SendEmail and ses:SendRawEmail for this sender",
        "Common errors: AccessDeniedException",
        code="AccessDenied(?:Exception)?|NotAuthorized|OptInRequired",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the clock of this machine is wrong",
        "Common errors: RequestExpired",
        code="RequestExpired|RequestTimeTooSkewed",
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "the configuration set in the URL does not exist",
        "API reference: NotFoundException",
        {404},
        code="NotFoundException|ConfigurationSetDoesNotExist(?:Exception)?",
    ),
    *API_RULES,
)


@dataclass(frozen=True)
class AwsKey:
    """An access key. ``session_token`` belongs to temporary keys."""

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class SesApi:
    """SES in one region, at ``base_url``."""

    name: str
    base_url: str
    region: str
    key: AwsKey
    sender: str
    bounces: BounceAddress | None = None
    configuration_set: str = ""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), compare=False, repr=False)

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message."""
        message = rendered.message
        body = {
            "Destination": {"ToAddresses": [message.recipient]},
            "Content": {"Raw": {"Data": b64encode(rendered.content).decode()}},
            "EmailTags": [{"Name": MESSAGE_ID_NAME, "Value": str(message.id)}],
        }
        if self.bounces:
            body["FeedbackForwardingEmailAddress"] = self.bounces.sender_of(message.id, message.recipient)
        if self.configuration_set:
            body["ConfigurationSetName"] = self.configuration_set
        return self.signed(SEND_PATH, json.dumps(body).encode())

    def signed(self, path: str, body: bytes | None) -> HttpRequest:
        """Return a signed request: a POST of JSON, or a GET without a body."""
        url = f"{self.base_url}{path}"
        request = HttpRequest(url, {} if body is None else {"Content-Type": "application/json"}, body)
        return sign(request, self.key, self.region, self.clock())

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        if response.is_success:
            return acceptance(self.name, response, response.json_object.get("MessageId"))
        return self._refusal(response)

    def account_request(self) -> HttpRequest:
        """Ask for the account's state in this region."""
        return self.signed(ACCOUNT_PATH, None)

    def account_problem(self, response: HttpResponse) -> str | None:
        """Return whether the key is wrong, or the account is in the sandbox or may not send.

        A key without ses:GetAccount can still send.
        """
        account = response.json_object
        if not response.is_success:
            failure = self._refusal(response)
            return None if "AccessDenied" in failure.error else failure.error
        if not account:
            return "the response is not the API's: check host and endpoint"
        if account.get("SendingEnabled") is False:
            return "the account may not send: see the reputation dashboard"
        if account.get("ProductionAccessEnabled") is False:
            return "the account is in the sandbox, and only sends to verified addresses: request production access"
        return None

    def _refusal(self, response: HttpResponse) -> Failure:
        body = response.json_object
        code = response.headers.get("x-amzn-ErrorType") or str(body.get("__type") or body.get("code") or "")
        text = body.get("message") or body.get("Message")
        return refusal(self.name, RULES, response, code=code.partition(":")[0].rpartition("#")[2], text=text)


def sign(request: HttpRequest, key: AwsKey, region: str, now: datetime, service: str = "ses") -> HttpRequest:
    """Return the request with AWS's signature, version 4."""
    parts, moment = urlsplit(request.url), now.strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "Host": parts.netloc, "X-Amz-Date": moment}
    if key.session_token:
        headers["X-Amz-Security-Token"] = key.session_token
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())
    names = ";".join(name for name, _ in canonical)
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    lines = [
        request.method,
        quote(parts.path or "/", safe="/-_.~"),
        query,
        *(f"{name}:{value}" for name, value in canonical),
        "",
        names,
        sha256(request.body or b"").hexdigest(),
    ]
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = sha256("\n".join(lines).encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    signature = _hmac(_signing_key(key.secret, scope), to_sign).hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return HttpRequest(request.url, {**headers, "Authorization": authorization}, request.body)


@lru_cache(maxsize=16)  # it changes once a day
def _signing_key(secret: str, scope: str) -> bytes:
    signing_key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing_key = _hmac(signing_key, part)
    return signing_key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _aws_key(key: str) -> AwsKey:
    parts = key.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError("has a ses URL whose key is not id:secret, or id:secret:token for a temporary one")
    return AwsKey(*parts)


def _region(url: ProviderUrl, option: str | None) -> str:
    found = _REGION.fullmatch(url.host())
    region = option or (found[1] if found else "")
    if not _REGION_NAME.fullmatch(region):
        raise ValueError("has a ses URL whose host is not email.REGION.amazonaws.com, and without a region")
    return region


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = api_account(url, context, "region", "configuration_set")
    api = SesApi(
        account.name,
        account.base_url,
        _region(url, account.options.get("region")),
        _aws_key(account.key),
        context.sender,
        context.bounces,
        account.options.get("configuration_set", ""),
    )
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


SES = ProviderScheme(frozenset({Channel.EMAIL}), _provider)
