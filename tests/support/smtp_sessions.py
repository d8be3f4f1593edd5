"""A session of the relay to a test's SMTP server."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outbox_relay.channels.base import Credentials, Session
from outbox_relay.channels.smtp.login import Login, password_login
from outbox_relay.channels.smtp.session import Server, SmtpProvider, Tls
from shared.reports.return_paths import BounceAddress
from tests.support.smtp_server import SmtpServer

LONG_TIMEOUT = 10.0
SHORT_TIMEOUT = 1.0
"""Seconds: long enough for replies on a busy machine, short enough for tests that wait for the timeout."""
SENDER = "no-reply@signpost.example"


@asynccontextmanager
async def session_to(
    server: SmtpServer,
    *,
    smtp_timeout: float = LONG_TIMEOUT,
    tls: Tls = Tls.NONE,
    context: ssl.SSLContext | None = None,
    credentials: Credentials | None = None,
    login: Login | None = None,
    bounces: BounceAddress | None = None,
) -> AsyncIterator[Session]:
    login = password_login(credentials) if credentials else login
    server_at = Server(f"smtp:127.0.0.1:{server.port}", "127.0.0.1", server.port, tls, login, context, smtp_timeout)
    session = SmtpProvider(server_at, SENDER, bounces).session()
    try:
        yield session
    finally:
        await session.close()
