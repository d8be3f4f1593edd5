"""Data that a server sends behind its replies before the first message."""

import pytest

from outbox_relay.channels.base import Credentials, ProviderDownError
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_server import Moment, Script, SmtpServer
from tests.support.smtp_sessions import session_to

pytestmark = pytest.mark.anyio

HELLO = b"250-test\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 HELP"
WELCOME = b"235 2.7.0 Welcome"
BUSY = b"421 4.3.2 too busy, try again in 5 minutes"
CREDENTIALS = Credentials("us", "hunter2")
SECRET = "AHVzAGh1bnRlcjI="
"""As encoded by AUTH PLAIN."""


@pytest.mark.parametrize("behind", [BUSY, b"250 x", b"hello there"])
@pytest.mark.parametrize(
    ("moment", "reply", "credentials"), [(Moment.EHLO, HELLO, None), (Moment.AUTH, WELCOME, CREDENTIALS)]
)
async def test_no_message_is_taken_for_a_server_that_sends_data_behind_its_last_reply(
    moment: Moment, reply: bytes, credentials: Credentials | None, behind: bytes
) -> None:
    down = await opening(Script(("AUTH PLAIN",), {moment: iter([reply + b"\r\n" + behind])}), credentials)
    if behind is BUSY:
        assert str(down) == behind.decode()


async def test_a_password_that_a_server_echoes_is_never_shown() -> None:
    refusal = f"500 unknown command AUTH PLAIN {SECRET}".encode()
    assert await opening(Script(("AUTH PLAIN",), {Moment.AUTH: refusal}), CREDENTIALS) == (
        "AUTH: 500 unknown command AUTH PLAIN …"
    )


async def opening(script: Script, credentials: Credentials | None) -> str:
    """Return the error that prevented a session with one message to deliver."""
    source = ListSource([a_message()])
    async with SmtpServer(script) as server, session_to(server, credentials=credentials) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert (len(source.waiting), source.results) == (1, {})
    return caught.value.failure.error
