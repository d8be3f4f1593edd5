"""An SMS gateway on a real HTTP/1.1 socket, with a fixed reply or one computed from the request."""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.listening import listening


class Silence(Enum):
    """Faults instead of a reply."""

    CLOSE = auto()
    HANG = auto()


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.content)
        return body

    @property
    def path(self) -> str:
        return urlsplit(self.line.split()[1]).path

    @property
    def fields(self) -> dict[str, str]:
        """Return the form fields, from the body or the query string."""
        return dict(parse_qsl(self.content.decode() or urlsplit(self.line.split()[1]).query, keep_blank_values=True))


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Compose a reply. ``Retry_After="5"`` becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


Reply = bytes | Silence | Callable[[Request], bytes]

ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"


class HttpGateway:
    """Stores the requests received. A test may change ``reply`` at any time.

    With ``hangs_up``, it closes each connection after one reply, without having announced it.
    """

    def __init__(
        self, reply: Reply, tls: ssl.SSLContext | None = None, *, hangs_up: bool = False, port: int = 0
    ) -> None:
        self.reply = reply
        self.hangs_up = hangs_up
        self.requests: list[Request] = []
        self.connections = 0
        self.has_request = asyncio.Event()
        self._listening = listening(self._talk, tls, port=port)

    async def __aenter__(self) -> Self:
        self.port = await self._listening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._listening.__aexit__(kind, error, traceback)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await _request(reader))
            self.has_request.set()
            await self._answer(self.reply, reader, writer)
            if self.hangs_up:
                raise EOFError

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match reply:
            case Silence.CLOSE:
                raise EOFError
            case Silence.HANG:
                await reader.read()  # until the client disconnects
                raise EOFError
            case bytes() as content:
                writer.write(content)
                await writer.drain()
                while content is ENDLESS:
                    writer.write(b" " * 65536)
                    await writer.drain()
            case made:
                await self._answer(made(self.requests[-1]), reader, writer)


async def _request(reader: asyncio.StreamReader) -> Request:
    line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in rest)}
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
