"""Who the peers are, and which of them are installed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.peers.errand import Form

FEW = 50
"""Messages that do not count where it is the wait that decides."""
ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".peers"


@dataclass(frozen=True)
class Peer:
    """Another project, and what it takes to run the program that we have for it."""

    name: str
    program: str
    forms: tuple[Form, ...] = tuple(Form)
    needs_redis: bool = False
    has_daemon: bool = True
    is_quick: bool = False
    """Whether it handles thousands in a second, as long as it does nothing with them."""
    warm_up: int = FEW
    """Messages that do not count in a drain: connections open, and code is compiled, which takes Node a thousand."""

    @property
    def command(self) -> tuple[str, ...]:
        """How to start the program."""
        if self.program.endswith(".js"):
            return (shutil.which("node") or "node", str(ROOT / "bench" / "peers" / self.program))
        return (str(INSTALLED / "venv" / "bin" / "python"), "-m", f"bench.peers.{self.program}")

    @property
    def is_absent(self) -> bool:
        """Whether something that it needs is not installed; `make bench-peers` installs it."""
        if self.program.endswith(".js"):
            return not (INSTALLED / "node_modules" / self.name).exists() or shutil.which("node") is None
        found = (INSTALLED / "venv").glob(f"lib/python3*/site-packages/{self.name.replace('-', '_')}-*.dist-info")
        return not any(found) or (self.needs_redis and shutil.which("redis-server") is None)


STRONGEST = ("pg-boss", "graphile-worker")
"""The peers that were the fastest with their usual senders: where the others would only take time."""
IN_NODE = (Form.USUAL, Form.NOTHING)
NODE_WARM_UP = 1_000
PEERS = (
    Peer("pgqueuer", "pgqueuer", is_quick=True),
    Peer("procrastinate", "procrastinate"),
    Peer("celery", "celery", needs_redis=True),
    Peer("dramatiq", "dramatiq", needs_redis=True),
    Peer("django-post-office", "django_post_office", has_daemon=False),
    Peer("faststream-outbox", "faststream_outbox"),
    Peer("graphile-worker", "graphile_worker.js", IN_NODE, is_quick=True, warm_up=NODE_WARM_UP),
    Peer("pg-boss", "pg_boss.js", IN_NODE, is_quick=True, warm_up=NODE_WARM_UP),
)


def peers_there(*, only_strongest: bool = False) -> list[Peer]:
    """Return the peers that are installed, or of them those that are worth a look."""
    return [peer for peer in PEERS if not peer.is_absent and (peer.name in STRONGEST or not only_strongest)]
