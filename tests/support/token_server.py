"""An OAuth2 token endpoint on a real HTTP socket, whose tokens a test's SMTP server accepts."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from outbox_relay.channels.smtp.login import Login
from outbox_relay.channels.smtp.sasl import xoauth2
from outbox_relay.channels.smtp.tokens import TokenEndpoint, TokenSource
from tests.support.http_gateway import HttpGateway, Reply, Request, answer


class TokenServer:
    """Issues ``token-1``, ``token-2`` and so on. ``living`` has the tokens that are valid.

    ``rotates`` is whether each response has a new refresh token. ``reply`` replaces all responses. With https, clients
    trust ``trusted``.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.living: set[str] = set()
        self.rotates = False
        self.lifetime: object = 3600
        self.padding = ""
        self.reply: Reply | None = None
        self.gateway = HttpGateway(self._respond, tls)
        self.scheme = "https" if tls else "http"
        self.trusted: ssl.SSLContext | None = None

    @property
    def forms(self) -> list[dict[str, str]]:
        """The form of each request."""
        return [request.fields for request in self.gateway.requests]

    def revoke_all(self) -> None:
        self.living.clear()

    def refuse(self, status: int, error: str, description: str = "", **headers: str) -> None:
        body = {"error": error, "error_description": description}
        self.reply = answer(status, json.dumps(body).encode(), **headers)

    def source(self, folder: Path, *, refresh_token: str | None = None) -> TokenSource:
        """Return a source with its files in the folder."""
        secret, refresh = folder / "client-secret", folder / "refresh-token"
        secret.write_text("s3cr3t\n")
        if refresh_token:
            refresh.write_text(f"{refresh_token}\n")
        endpoint = TokenEndpoint(
            f"{self.scheme}://127.0.0.1:{self.gateway.port}/token",
            "signpost",
            secret,
            refresh if refresh_token else None,
            "https://mail.google.com/",
            self.trusted,
        )
        return TokenSource("smtp:mail.example.org:587", endpoint)

    def login(self, folder: Path, *, refresh_token: str | None = None) -> Login:
        source = self.source(folder, refresh_token=refresh_token)
        return Login("ada@example.org", source, {"XOAUTH2": xoauth2})

    def _respond(self, request: Request) -> Reply:
        if self.reply is not None:
            return self.reply
        number = len(self.gateway.requests)
        token = f"token-{number}{self.padding}"
        self.living.add(token)
        body: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        if self.rotates:
            body["refresh_token"] = f"{request.fields['refresh_token']}+"
        return answer(200, json.dumps(body).encode())


@asynccontextmanager
async def token_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[TokenServer]:
    server = TokenServer(tls)
    async with server.gateway:
        yield server
