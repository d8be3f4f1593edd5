"""A gateway that takes JSON, ``https+json://token@host/path``: one POST for each message; any 2xx means accepted."""

import json
from dataclasses import dataclass, field

from outbox_relay.channels.http.session import (
    NOT_ABOUT_MESSAGE,
    HttpProvider,
    HttpRequest,
    HttpResponse,
    json_request,
    message_id_in,
)
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, ssl_context
from outbox_relay.failures.http import from_http_status
from outbox_relay.model import Failure, RenderedMessage, Sent
from shared.reports.return_paths import CallbackUrl, Gateway
from shared.urls import is_loopback
from shared.vocabulary import Channel


@dataclass(frozen=True)
class GenericJsonApi:
    """A gateway at ``url``. The message's id is the idempotency key."""

    name: str
    url: str
    token: str = field(repr=False)
    callback_url: CallbackUrl | None = None

    def request(self, rendered: RenderedMessage) -> HttpRequest:
        """Build the request that submits a message."""
        message = rendered.message
        body = {"to": message.recipient, "text": rendered.content.decode(), "id": str(message.id)}
        if self.callback_url:
            body["callback_url"] = self.callback_url(Gateway.JSON, message.id, message.recipient)
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": str(message.id)}
        return json_request(self.url, body, headers)

    def interpret(self, response: HttpResponse) -> Sent | Failure:
        """Interpret the response as the message's result."""
        body = response.json_object
        if response.is_success:
            return Sent(self.name, message_id_in(body.get("id")))
        problem = body.get("code")
        kind = from_http_status(response.status, problem if isinstance(problem, str) else "")
        detail = json.dumps(body) if body else ""
        is_about_message = response.status not in NOT_ABOUT_MESSAGE
        return response.failure(self.name, kind, detail=detail, is_about_message=is_about_message)


def _provider(url: ProviderUrl, context: DeliveryContext) -> HttpProvider:
    options, host, token = url.options("ca"), url.host(), url.token()
    if url.scheme == "http+json" and not is_loopback(host):
        raise ValueError("has a http+json URL to another machine: its token would go in clear")
    at = url.netloc.rpartition("@")[2]
    api = GenericJsonApi(
        context.name(f"{url.scheme}:{at}"),
        f"{url.scheme.removesuffix('+json')}://{at}{url.path}",
        token,
        context.callback_url,
    )
    return HttpProvider(api, ssl_context(options.get("ca")), context.timeout.total_seconds())


GENERIC_JSON = ProviderScheme(frozenset({Channel.SMS}), _provider)
