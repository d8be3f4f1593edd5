"""The inbox as one process: listen on both ports, say so, serve until told to end."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from devstack.inbox import smtp, web
from devstack.inbox.refusals import Refusals
from devstack.inbox.smtp import Mailroom
from devstack.inbox.store import Store


@dataclass(frozen=True)
class InboxSettings:
    """Where to listen, where to keep things, and what an SMS client has to know."""

    smtp_port: int
    http_port: int
    folder: Path
    sms_token: str


def run_inbox(settings: InboxSettings, tell: Callable[[int, int], None]) -> None:
    """Serve until SIGTERM or SIGINT. Once both ports answer, ``tell`` which they are: SMTP's, HTTP's."""
    asyncio.run(_serve(settings, tell))


async def _serve(settings: InboxSettings, tell: Callable[[int, int], None]) -> None:
    store = Store(settings.folder)
    refusals = Refusals(settings.folder / "refusals.txt")
    # SMTP first: whoever finds the pages there may count on the mail server too.
    mail_server = await smtp.listen(Mailroom(store, refusals), settings.smtp_port)
    web_server = web.listen(web.create_app(store, refusals, settings.sms_token), settings.http_port)
    Thread(target=web_server.serve_forever, daemon=True).start()
    tell(mail_server.sockets[0].getsockname()[1], web_server.server_port)
    await _told_to_end()
    # What is still connected is cut as the process ends, not waited for: clients keep connections for ever.
    mail_server.close()


async def _told_to_end() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
