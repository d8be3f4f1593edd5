"""A mail server for many messages: it accepts them with PIPELINING and counts them by Message-ID."""

import asyncio
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.listening import listening

MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE | re.IGNORECASE)
GO_AHEAD = {b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"DATA": b"354 go ahead\r\n"}


class MailSink:
    """Records arrivals, and can delay every reply or only the final reply to each message.

    ``message_ids`` lists the ids that each recipient received. ``reply_seconds`` delays each final reply.
    """

    def __init__(self) -> None:
        self.port = 0
        self.arrived: Counter[str] = Counter()
        self.connections = 0
        self.open_connections = 0
        self.refusals: dict[bytes, bytes] = {}
        self.message_ids: defaultdict[str, set[str]] = defaultdict(set)
        self.reply_seconds = 0.0
        self._open = asyncio.Event()
        self._says_verdicts = asyncio.Event()
        self._stopped = asyncio.Event()
        self.loop = asyncio.new_event_loop()

    @property
    def provider(self) -> str:
        """Return the EMAIL_PROVIDERS setting for this server."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    def refuse(self, recipient: str, reply: str) -> None:
        """Reply so to each RCPT with that recipient."""
        self.refusals[f"RCPT TO:<{recipient}>".upper().encode()] = f"{reply}\r\n".encode()

    def accept_all(self) -> None:
        self.refusals.clear()

    def hold(self) -> None:
        """Accept connections and commands, but send no reply."""
        self.loop.call_soon_threadsafe(self._open.clear)

    def hold_final_replies(self) -> None:
        """Accept messages, but send no final reply."""
        self.loop.call_soon_threadsafe(self._says_verdicts.clear)

    def release(self) -> None:
        """Send the delayed replies."""
        self.loop.call_soon_threadsafe(self._open.set)
        self.loop.call_soon_threadsafe(self._says_verdicts.set)

    async def serve(self, started: threading.Event) -> None:
        self._open.set()
        self._says_verdicts.set()
        async with listening(self._talk, port=self.port, grace_seconds=0) as self.port:
            started.set()
            await self._stopped.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            await self._answer(writer, b"220 sink\r\n")
            is_refused, recipient = False, ""
            while line := await reader.readline():
                verb = line[:4].upper()
                refusal = self.refusals.get(line.strip().upper()) if verb == b"RCPT" else None
                is_refused = bool(refusal) if verb == b"RCPT" else is_refused
                recipient = line.decode() if verb == b"RCPT" else recipient
                if verb == b"DATA" and is_refused:
                    refusal = b"554 no valid recipients\r\n"
                await self._answer(writer, refusal or GO_AHEAD.get(verb, b"250 ok\r\n"))
                if verb == b"DATA" and not is_refused:
                    self.take(recipient, await reader.readuntil(b"\r\n.\r\n"))
                    await self._judge(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    def take(self, recipient: str, content: bytes) -> None:
        """Record a mail that arrived. Call this on ``loop``."""
        self.record(recipient, MESSAGE_ID.search(content)[1].decode())  # type: ignore[index]  # a missing id fails the test

    def record(self, recipient: str, message_id: str) -> None:
        self.arrived[message_id] += 1
        self.message_ids[recipient].add(message_id)

    async def _judge(self, writer: asyncio.StreamWriter) -> None:
        if self.reply_seconds:
            await asyncio.sleep(self.reply_seconds)
        await self._says_verdicts.wait()
        await self._answer(writer, b"250 queued\r\n")

    async def _answer(self, writer: asyncio.StreamWriter, response: bytes) -> None:
        await self._open.wait()
        writer.write(response)

    def run(self, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self.serve(started))

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopped.set)


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    sink, started = MailSink(), threading.Event()
    thread = threading.Thread(target=sink.run, args=[started], daemon=True)
    thread.start()
    assert started.wait(5)
    yield sink
    sink.stop()
    thread.join(5)
