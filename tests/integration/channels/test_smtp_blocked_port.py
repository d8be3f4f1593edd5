"""A platform that blocks SMTP mostly drops the packets."""

import socket
from contextlib import ExitStack

import pytest

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.channels.smtp.session import Server, SmtpProvider, Tls
from outbox_relay.failures.login_hints import explained
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_sessions import SENDER, SHORT_TIMEOUT

pytestmark = pytest.mark.anyio


async def test_a_port_without_any_response_may_be_blocked_by_the_platform() -> None:
    # A full queue of connections: the kernel drops further ones, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as ending:
        host, port = listener.getsockname()
        for _ in range(3):
            waiting = ending.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex((host, port))
        name = f"smtp:{host}:{port}#3f9ac1"  # one of several accounts
        provider = SmtpProvider(Server(name, host, port, Tls.NONE, None, None, SHORT_TIMEOUT), SENDER)
        with pytest.raises(ProviderDownError) as caught:
            await provider.session().deliver(ListSource([a_message()]))
    assert caught.value.failure.error == "could not connect in time"
    assert f"Nothing responds on port {port}." in explained(provider.name, caught.value.failure.error)
