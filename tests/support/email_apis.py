"""The e-mail APIs for tests: a URL for each, and its responses as the provider's documentation shows them."""

import json
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from enum import StrEnum, auto

from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.channels.http import brevo, mailgun, mime, postmark, resend, sendgrid, ses
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.failures.http import HttpRule
from outbox_relay.model import FailureClass, RenderedMessage
from outbox_relay.rendering.preview import fresh_activation
from shared.reports.return_paths import BounceAddress
from shared.vocabulary import Channel, Locale
from tests.support.http_gateway import Request, answer
from tests.support.rendered_messages import ListSource
from tests.support.rendering import usual_renderer


class Case(StrEnum):
    """What a provider refuses."""

    WRONG_KEY = auto()
    UNVERIFIED_SENDER = auto()
    INVALID_RECIPIENT = auto()
    RATE_LIMITED = auto()
    BROKEN = auto()


CLASSES = dict.fromkeys(Case, FailureClass.PROVIDER) | {Case.INVALID_RECIPIENT: FailureClass.RECIPIENT}
RETRY_SECONDS = 90


@dataclass(frozen=True)
class EmailApi:
    """``url`` has a place for the endpoint. ``takes_mime``: the provider gets the rendered mail unchanged."""

    url: str
    rules: tuple[HttpRule, ...]
    accepted: bytes
    message_id: str
    refusals: dict[Case, bytes]
    takes_mime: bool = False

    def provider(
        self, port: int, *, seconds: float = 10.0, scheme: str = "http", bounces: BounceAddress | None = None
    ) -> Provider:
        url = self.url.format(endpoint=f"{scheme}://127.0.0.1:{port}", scheme=scheme, port=port)
        return provider_of(url, seconds=seconds, bounces=bounces)


def provider_of(url: str, *, seconds: float = 10.0, bounces: BounceAddress | None = None) -> Provider:
    context = DeliveryContext("no-reply@signpost.example", timedelta(seconds=seconds), bounces=bounces)
    [capped] = providers_from(url, Channel.EMAIL, context)
    return capped.provider


def a_mail(recipient: str = "ada@example.org") -> RenderedMessage:
    message = fresh_activation(Channel.EMAIL, Locale.FR, "k1", life=timedelta(minutes=10))._replace(recipient=recipient)
    return RenderedMessage(message, usual_renderer().render(message), taken_monotonic=0.0)


async def deliver(provider: Provider, *messages: RenderedMessage) -> ListSource:
    source, session = ListSource(messages), provider.session()
    try:
        await session.deliver(source)
    except ProviderDownError:
        pass
    finally:
        await session.close()
    return source


def form_of(request: Request) -> dict[str, bytes]:
    """Return the parts of a multipart/form-data request by name."""
    boundary = request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
    found = {}
    for part in request.content.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = message_from_bytes(head + b"\r\n\r\n", policy=default)["content-disposition"].params["name"]
        found[name] = content.removesuffix(b"\r\n")
    return found


def reply(status: int, body: object, **headers: str) -> bytes:
    return answer(status, json.dumps(body).encode(), Content_Type="application/json", **headers)


def _sendgrid(status: int, field: str | None, message: str, **headers: str) -> bytes:
    return reply(status, {"errors": [{"message": message, "field": field, "help": None}]}, **headers)


def _resend(status: int, name: str, message: str, **headers: str) -> bytes:
    return reply(status, {"statusCode": status, "name": name, "message": message}, **headers)


def _postmark(status: int, code: int, message: str, **headers: str) -> bytes:
    return reply(status, {"ErrorCode": code, "Message": message}, **headers)


def _brevo(status: int, code: str, message: str, **headers: str) -> bytes:
    return reply(status, {"code": code, "message": message}, **headers)


def _ses(status: int, name: str, message: str, **headers: str) -> bytes:
    return reply(status, {"message": message}, x_amzn_ErrorType=name, **headers)


EMAIL_APIS = {
    "brevo": EmailApi(
        "brevo://xkeysib-1@api.brevo.com?endpoint={endpoint}",
        brevo.RULES,
        reply(201, {"messageId": "<202601011200.1@smtp-relay.mailin.fr>"}),
        "<202601011200.1@smtp-relay.mailin.fr>",
        {
            Case.WRONG_KEY: _brevo(401, "unauthorized", "Key not found"),
            Case.UNVERIFIED_SENDER: _brevo(400, "invalid_parameter", "Sender is invalid / inactive"),
            Case.INVALID_RECIPIENT: _brevo(
                400, "invalid_parameter", "email is not valid in to", x_sib_ratelimit_reset=str(RETRY_SECONDS)
            ),
            Case.RATE_LIMITED: _brevo(
                429, "too_many_requests", "Too many requests", x_sib_ratelimit_reset=str(RETRY_SECONDS)
            ),
            Case.BROKEN: answer(502, b"<html>"),
        },
    ),
    "https+mime": EmailApi(
        "{scheme}+mime://token@127.0.0.1:{port}/in",
        mime.RULES,
        reply(202, {"id": "m1"}),
        "m1",
        {
            Case.WRONG_KEY: reply(401, {"code": "unauthorized"}),
            Case.UNVERIFIED_SENDER: reply(422, {"code": "invalid_sender"}),
            Case.INVALID_RECIPIENT: reply(422, {"code": "invalid_recipient"}),
            Case.RATE_LIMITED: reply(429, {}, Retry_After=str(RETRY_SECONDS)),
            Case.BROKEN: answer(503, b"<html>"),
        },
        takes_mime=True,
    ),
    "mailgun": EmailApi(
        "mailgun://key-1@api.mailgun.net/mg.example.org?endpoint={endpoint}",
        mailgun.RULES,
        reply(200, {"id": "<20260101@mg.example.org>", "message": "Queued. Thank you."}),
        "<20260101@mg.example.org>",
        {
            Case.WRONG_KEY: answer(401, b"Forbidden"),
            Case.UNVERIFIED_SENDER: reply(
                403,
                {
                    "message": "Domain mg.example.org is not allowed to send: The domain is unverified and requires DNS"
                    " configuration. Log in to your control panel to view required DNS records."
                },
            ),
            Case.INVALID_RECIPIENT: reply(
                400, {"message": "to parameter is not a valid address. please check documentation"}
            ),
            Case.RATE_LIMITED: reply(429, {"message": "Too many requests"}, Retry_After=str(RETRY_SECONDS)),
            Case.BROKEN: reply(500, {"message": "Internal Server Error"}),
        },
        takes_mime=True,
    ),
    "postmark": EmailApi(
        "postmark://token-1@api.postmarkapp.com?endpoint={endpoint}",
        postmark.RULES,
        reply(
            200,
            {
                "To": "ada@example.org",
                "SubmittedAt": "2026-01-01T12:00:00.0000000Z",
                "MessageID": "0a129aee-e1cd-480d-b08d-4f48548ff48d",
                "ErrorCode": 0,
                "Message": "OK",
            },
        ),
        "0a129aee-e1cd-480d-b08d-4f48548ff48d",
        {
            Case.WRONG_KEY: _postmark(401, 10, "Request does not contain a valid Server token."),
            Case.UNVERIFIED_SENDER: _postmark(
                422, 400, "The 'From' address you supplied (no-reply@signpost.example) is not a Sender Signature"
            ),
            Case.INVALID_RECIPIENT: _postmark(
                422, 300, "Error parsing 'To': Illegal email address 'ada'. It must contain the '@' symbol."
            ),
            Case.RATE_LIMITED: _postmark(429, 429, "Rate Limit Exceeded", Retry_After=str(RETRY_SECONDS)),
            Case.BROKEN: _postmark(503, 100, "The Postmark API is offline for maintenance."),
        },
    ),
    "resend": EmailApi(
        "resend://re_1@api.resend.com?endpoint={endpoint}",
        resend.RULES,
        reply(200, {"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}),
        "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794",
        {
            Case.WRONG_KEY: _resend(400, "validation_error", "API key is invalid"),
            Case.UNVERIFIED_SENDER: _resend(
                403,
                "validation_error",
                "The signpost.example domain is not verified. Please, add and verify it",
            ),
            Case.INVALID_RECIPIENT: _resend(
                422, "validation_error", "Invalid `to` field. The email address needs to follow the `email@example.com`"
            ),
            Case.RATE_LIMITED: _resend(
                429, "rate_limit_exceeded", "Too many requests.", Retry_After=str(RETRY_SECONDS)
            ),
            Case.BROKEN: _resend(500, "application_error", "An unexpected error occurred."),
        },
    ),
    "sendgrid": EmailApi(
        "sendgrid://SG.a.b@api.sendgrid.com?endpoint={endpoint}",
        sendgrid.RULES,
        answer(202, X_Message_Id="14c5d75ce93.dfd.64b469"),
        "14c5d75ce93.dfd.64b469",
        {
            Case.WRONG_KEY: _sendgrid(401, None, "The provided authorization grant is invalid, expired, or revoked"),
            Case.UNVERIFIED_SENDER: _sendgrid(
                403, "from", "The from address does not match a verified Sender Identity. Mail cannot be sent until"
            ),
            Case.INVALID_RECIPIENT: _sendgrid(
                400, "personalizations.0.to.0.email", "Does not contain a valid address."
            ),
            Case.RATE_LIMITED: _sendgrid(429, None, "too many requests", Retry_After=str(RETRY_SECONDS)),
            Case.BROKEN: answer(503, b"upstream connect error"),
        },
    ),
    "ses": EmailApi(
        "ses://AKIDEXAMPLE:secret@email.eu-west-1.amazonaws.com?endpoint={endpoint}",
        ses.RULES,
        reply(200, {"MessageId": "0102018a-0000"}),
        "0102018a-0000",
        {
            Case.WRONG_KEY: _ses(
                403, "UnrecognizedClientException", "The security token included in the request is invalid."
            ),
            Case.UNVERIFIED_SENDER: _ses(
                400,
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region EU-WEST-1: x",
            ),
            Case.INVALID_RECIPIENT: _ses(400, "BadRequestException", "Missing final '@domain'"),
            Case.RATE_LIMITED: _ses(
                429, "TooManyRequestsException:http://internal.amazon.com/", "Rate", Retry_After=str(RETRY_SECONDS)
            ),
            Case.BROKEN: _ses(500, "InternalFailure", ""),
        },
        takes_mime=True,
    ),
}
