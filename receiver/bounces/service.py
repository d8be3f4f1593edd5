"""The process `signpost-receiver bounces`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Event

from receiver.bounces.imap import ImapPoller
from receiver.bounces.intake import Intake
from receiver.bounces.lmtp import lmtp_server
from receiver.bounces.settings import BounceSettings
from receiver.process import Readiness, receiver_process
from receiver.store import ReportStore
from shared.reports.report import ReportSource


async def run_bounces(settings: BounceSettings) -> None:
    """Take bounces until SIGTERM or SIGINT. Raises OSError if an address is taken."""
    store = ReportStore(settings.database_url)
    poller: ImapPoller | None = None
    if settings.bounce_imap_url:
        intake = Intake(store, settings.feedback_keys, ReportSource.IMAP)
        poller = ImapPoller(settings.bounce_imap_url, intake, settings.bounce_imap_seconds)

    def readiness() -> Readiness:
        return store.missing(), ["imap"] if poller and poller.is_failing else []

    stopping = asyncio.Event()
    async with AsyncExitStack() as ending:
        ending.callback(store.close)
        if settings.bounce_lmtp_bind:
            intake = Intake(store, settings.feedback_keys, ReportSource.LMTP)
            await ending.enter_async_context(lmtp_server(settings.bounce_lmtp_bind, intake))
        if poller:
            await ending.enter_async_context(polling(poller, stopping))
        async with receiver_process(settings.admin_bind, readiness, stopping):
            await stopping.wait()


@asynccontextmanager
async def polling(poller: ImapPoller, ended: asyncio.Event) -> AsyncIterator[None]:
    """Poll in a thread while the block runs. The end waits for the mail in hand. A bug sets ``ended``."""
    stopping = Event()
    thread = asyncio.create_task(asyncio.to_thread(poller.run, stopping))
    thread.add_done_callback(lambda _thread: ended.set())
    try:
        yield
    finally:
        stopping.set()
        await thread
