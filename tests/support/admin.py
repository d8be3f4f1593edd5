"""The admin listener of a service, in this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
from sqlalchemy import Engine

from api_service.metrics import READY
from migrations.revisions import REVISIONS
from shared.web.admin import AdminListener
from shared.web.server import WorkerProgress
from tests.support.forwarding import unused_port


@contextmanager
def listening(
    url: str,
    *,
    revisions: Sequence[str] = REVISIONS,
    heartbeats: Sequence[Callable[[], float]] = (),
    held: Callable[[Engine], list[str]] = lambda _engine: [],
) -> Iterator[Callable[[str], httpx.Response]]:
    """Serve a listener, and yield a function that requests a path."""
    port = unused_port()
    listener = AdminListener("api", ("127.0.0.1", port), url, revisions, READY, held=held)
    workers = {pid: SimpleNamespace(tmp=SimpleNamespace(last_update=beat)) for pid, beat in enumerate(heartbeats)}
    listener.start(SimpleNamespace(progress=WorkerProgress(workers), LISTENERS=["a socket"]))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client.get
    listener.close()
