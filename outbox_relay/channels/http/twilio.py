"""Twilio's REST API, ``twilio://sid:token@api.twilio.com?from=…``: one POST of a form for each message.

Sources: https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/api/errors.
The API has no idempotency key: a message whose response was lost may be delivered twice.
"""

from base64 import b64encode
from dataclasses import dataclass, field

from outbox_relay.channels.http.session import (
    NOT_ABOUT_MESSAGE,
    HttpProvider,
    HttpRequest,
    HttpResponse,
    form_request,
    message_id_in,
)
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, gateway_account
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.reports.return_paths import CallbackUrl, Gateway
from shared.urls import host_and_port
from shared.vocabulary import Channel

LONGEST_VALIDITY_SECONDS = 36_000
"""The highest ValidityPeriod, and Twilio's default. Beyond it Twilio refuses the message (error 21624)."""

REPEAT = "#rc=5&rp=5xx,ct,rt"
"""Makes Twilio repeat a callback up to five times after an error or a timeout. It does not send this part.
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""

# Twilio adds and splits codes over time. The tables list the codes that are clearly about one number or one text. Any
# other code is the provider's fault.
_RECIPIENT = frozenset({
    21211,  # To is not a valid number
    21217,  # the number does not appear to be valid
    21265,  # To is a short code
    21266,  # To and From are the same
    21610,  # To has unsubscribed (replied STOP)
    21614,  # To is not a mobile number
    21635,  # To is a landline
    30004,  # blocked: the number cannot receive messages
    30005,  # unknown destination
    30006,  # landline or unreachable carrier
})  # fmt: skip
_CONTENT = frozenset({
    21602,  # no body
    21605,  # body too long for the sender
    21617,  # body over 1,600 characters
    30007,  # filtered as spam
})  # fmt: skip
_TRANSIENT = frozenset({
    30003,  # handset switched off or out of reach
    30008,  # unknown error
})  # fmt: skip
_ACCOUNT = frozenset({
    14107,  # too many messages from this number
    20003,  # wrong credentials, or no credit
    20403,  # forbidden
    20429,  # too many requests
    20500,  # internal error
    20503,  # service unavailable
    21603,  # no From
    21606,  # From cannot send SMS
    21611,  # From's queue is full
    21659,  # From is not a Twilio number
    21660,  # From belongs to another account
    30001,  # queue overflow
    30002,  # account suspended
    63038,  # account over its daily limit
})  # fmt: skip


@dataclass(frozen=True)
class TwilioApi:
    """The account ``sid`` at ``base_url``. ``sender`` is a number, a name, or a messaging service (``MG…``)."""

    name: str
    base_url: str
    sid: str
    token: str = field(repr=False)
    sender: str
    callback_url: CallbackUrl | None = None

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message."""
        sender = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        data = {"To": rendered.message.recipient, sender: self.sender, "Body": rendered.content.decode()}
        if rendered.valid_seconds is not None:
            data["ValidityPeriod"] = str(min(rendered.valid_seconds, LONGEST_VALIDITY_SECONDS))
        if self.callback_url:
            url = self.callback_url(Gateway.TWILIO, rendered.message.id, rendered.message.recipient)
            data["StatusCallback"] = url + REPEAT
        headers = {"Authorization": f"Basic {b64encode(f'{self.sid}:{self.token}'.encode()).decode()}"}
        return form_request(f"{self.base_url}/2010-04-01/Accounts/{self.sid}/Messages.json", data, headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response by its code, or by its status if the body has no code."""
        body = response.json_object
        given = body.get("code") or body.get("error_code")
        code = given if isinstance(given, int) else None
        if response.is_success and code is None:
            return Sent(self.name, message_id_in(body.get("sid")))
        is_about_message = code not in _ACCOUNT and response.status not in NOT_ABOUT_MESSAGE
        detail = f"{code}: {body.get('message') or body.get('error_message')}" if code else ""
        return response.failure(self.name, _class_of(code), detail=detail, is_about_message=is_about_message)


def _class_of(code: int | None) -> FailureClass:
    if code in _RECIPIENT:
        return FailureClass.RECIPIENT
    if code in _CONTENT:
        return FailureClass.CONTENT
    return FailureClass.TRANSIENT if code in _TRANSIENT else FailureClass.PROVIDER


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    account = gateway_account(url)
    if account.path or not account.sender:
        raise ValueError("has a twilio URL with a path, or without a from")
    at, credentials = host_and_port(account.host, account.port), account.credentials
    base_url = f"{account.web_scheme}://{at}"
    api = TwilioApi(
        context.name(f"twilio:{at}"),
        base_url,
        credentials.user,
        credentials.password,
        account.sender,
        context.callback_url,
    )
    return HttpProvider(api, account.ssl_context, context.timeout.total_seconds())


TWILIO = ProviderScheme(frozenset({Channel.SMS}), _provider)
