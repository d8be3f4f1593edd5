"""How peers send: as the documentation of their usual library has it, or by the relay's own sender."""

import asyncio
import smtplib
import threading
from collections import deque
from functools import cache

import aiosmtplib

from bench.peers.errand import Form, errand, handled, mail
from bench.smtp_sender import letter_of, provider_of
from outbox_relay.channels.base import Session
from outbox_relay.messages import Letter
from outbox_relay.outcomes import Failure, Sent

HOST = "127.0.0.1"


async def deliver(number: int, enqueued_at: float) -> None:
    """Deliver a message from a coroutine, in the errand's form."""
    match errand().form:
        case Form.USUAL:
            await _clients().send(number)
        case Form.PREPARED:
            await _pipeline().send()
        case Form.NOTHING:
            pass
    handled(enqueued_at)


def deliver_blocking(number: int, enqueued_at: float) -> None:
    """Deliver a message from a thread, in the errand's form."""
    match errand().form:
        case Form.USUAL:
            _client().send_message(mail(number))
        case Form.PREPARED:
            send_prepared()
        case Form.NOTHING:
            pass
    handled(enqueued_at)


def send_prepared() -> None:
    """Send the prepared letter from a thread; the sender has a loop of its own."""
    asyncio.run_coroutine_threadsafe(_send_prepared(), _loop()).result()


async def _send_prepared() -> None:
    await _pipeline().send()


class Clients:
    """As many connections of aiosmtplib as the relay would have, each kept open and lent to one mail at a time."""

    def __init__(self) -> None:
        self._idle: asyncio.LifoQueue[aiosmtplib.SMTP] = asyncio.LifoQueue()
        for _ in range(errand().connections):
            self._idle.put_nowait(aiosmtplib.SMTP(hostname=HOST, port=errand().smtp_port, start_tls=False))

    async def send(self, number: int) -> None:
        """Build the mail and send it."""
        client = await self._idle.get()
        if not client.is_connected:
            await client.connect()
        await client.send_message(mail(number))
        self._idle.put_nowait(client)


class Pipeline:
    """The relay's SMTP sessions, given one letter after the other."""

    def __init__(self) -> None:
        provider = provider_of(HOST, errand().smtp_port)
        self._waiting: deque[Letter] = deque()
        self._sent: dict[int, asyncio.Future[None]] = {}
        self._filled = asyncio.Event()
        self._couriers = [asyncio.create_task(self._carry(provider.session())) for _ in range(errand().connections)]

    async def send(self) -> None:
        """Return once the letter is accepted."""
        letter = letter_of(errand().letter)
        sent = self._sent[id(letter)] = asyncio.get_running_loop().create_future()
        self._waiting.append(letter)
        self._filled.set()
        await sent

    def take(self) -> Letter | None:
        """Give a session its next letter."""
        if self._waiting:
            return self._waiting.popleft()
        self._filled.clear()
        return None

    def report(self, letter: Letter, fate: Sent | Failure) -> None:
        """Wake whoever waits for it."""
        sent = self._sent.pop(id(letter))
        match fate:
            case Sent():
                sent.set_result(None)
            case Failure():
                sent.set_exception(RuntimeError(fate.error))

    async def _carry(self, session: Session) -> None:
        while True:
            await self._filled.wait()
            await session.carry(self)


@cache
def _clients() -> Clients:
    return Clients()


@cache
def _pipeline() -> Pipeline:
    return Pipeline()


_of_thread = threading.local()


def _client() -> smtplib.SMTP:
    if not hasattr(_of_thread, "client"):
        _of_thread.client = smtplib.SMTP(HOST, errand().smtp_port)
    client: smtplib.SMTP = _of_thread.client
    return client


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop
