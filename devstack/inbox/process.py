"""The inbox as one process: listen on both ports, report them, and serve until a signal."""

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
    """The ports, the folder for messages, and the token of SMS clients."""

    smtp_port: int
    http_port: int
    folder: Path
    sms_token: str


def run_inbox(settings: InboxSettings, report: Callable[[int, int], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``report`` receives the ports of SMTP and HTTP when both accept connections."""
    asyncio.run(_serve(settings, report))


async def _serve(settings: InboxSettings, report: Callable[[int, int], None]) -> None:
    store = Store(settings.folder)
    refusals = Refusals(settings.folder / "refusals.txt")
    # SMTP first: clients that find the pages may rely on the mail server.
    mail_server = await smtp.listen(Mailroom(store, refusals), settings.smtp_port)
    web_server = web.listen(web.create_app(store, refusals, settings.sms_token), settings.http_port)
    Thread(target=web_server.serve_forever, daemon=True).start()
    report(mail_server.sockets[0].getsockname()[1], web_server.server_port)
    await _signal_received()
    # The end of the process closes open connections, because clients may keep them open for ever.
    mail_server.close()


async def _signal_received() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
