"""HTTP clients that cost little, each from a network of its own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from devstack.ports import LOOPBACK

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Response:
    """A response, and the seconds that it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took: float

    @property
    def retry_after(self) -> float | None:
        """The seconds in Retry-After, if it is set."""
        value = self.headers.get("retry-after")
        return float(value) if value else None


class Client:
    """One keep-alive connection from an address of the loopback network, which the API counts as a network."""

    def __init__(self, port: int, address: str = LOOPBACK) -> None:
        self._port = port
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: Any = None) -> Response:
        """Send a request with a JSON body. Raises OSError, also if the response is late."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, headers, content = await self._exchange(method, path, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise OSError(f"{method} {path}: {error!r}") from error
        if headers.get("connection") == "close":
            await self.close()
        return Response(status, headers, content, time.perf_counter() - start)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(LOOPBACK, self._port, local_addr=(self._address, 0))
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        if lines[0].startswith("HTTP/1.0"):
            headers["connection"] = "close"
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


@asynccontextmanager
async def running(*tasks: Any) -> AsyncIterator[None]:
    """Run coroutines during the block, and cancel them at its end. Their errors end the block."""
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(task) for task in tasks]
        yield
        for task in started:
            task.cancel()
