"""How the Python peers send mail: with the library their users would take, on connections that stay open."""

import asyncio
import smtplib
import threading
from functools import cache

import aiosmtplib

from bench.peers.harness import SEND, config, handled, mail

HOST = "127.0.0.1"


async def deliver(number: int) -> None:
    """Handle a message in a coroutine."""
    if config().handler == SEND:
        await _pool().send(number)
    handled()


def deliver_blocking(number: int) -> None:
    """Handle a message in a thread."""
    if config().handler == SEND:
        _client_of_thread().send_message(mail(number))
    handled()


class Pool:
    """A pool of aiosmtplib connections; each sends one mail at a time."""

    def __init__(self) -> None:
        self._idle: asyncio.LifoQueue[aiosmtplib.SMTP] = asyncio.LifoQueue()
        for _ in range(config().connections):
            self._idle.put_nowait(aiosmtplib.SMTP(hostname=HOST, port=config().smtp_port, start_tls=False))

    async def send(self, number: int) -> None:
        """Build the mail and send it."""
        client = await self._idle.get()
        if not client.is_connected:
            await client.connect()
        await client.send_message(mail(number))
        self._idle.put_nowait(client)


@cache
def _pool() -> Pool:
    return Pool()


_local = threading.local()


def _client_of_thread() -> smtplib.SMTP:
    if not hasattr(_local, "client"):
        _local.client = smtplib.SMTP(HOST, config().smtp_port)
    client: smtplib.SMTP = _local.client
    return client
