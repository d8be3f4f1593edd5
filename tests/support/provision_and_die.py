"""Provision one organization, and be killed before the statement of a certain number."""

import asyncio
import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from outbox_relay.db.connection import RelayConnection
from outbox_relay.provisioning import Organization, ProvisionServer, provision
from tests.support.keys import KEYS
from tests.support.tenants import RecordingStepLog

# Forked off a process that has imported all this once, and has no threads.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def killed_at(url: str, organization: Organization, number: int) -> str | None:
    """Provision in a process that dies there; return the statement that it died before, or None at its end."""
    told, telling = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(target=provision_and_die, args=(url, organization, number, telling))
    child.start()
    telling.close()
    child.join(timeout=120)
    assert child.exitcode in (0, -signal.SIGKILL)
    with told:
        return told.recv() if child.exitcode else None


def provision_and_die(url: str, organization: Organization, number: int, telling: Connection) -> None:
    """Tell which statement is next, and die as by kill -9 in its place."""
    execute = RelayConnection.execute
    left = number

    async def execute_or_die(self: RelayConnection, query: Any, *rest: Any, **more: Any) -> Any:
        nonlocal left
        if not left:
            telling.send(query if isinstance(query, str) else query.as_string())
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return await execute(self, query, *rest, **more)

    RelayConnection.execute = execute_or_die  # type: ignore[method-assign] - a fault is put in, in this process only
    asyncio.run(provision(ProvisionServer(url, KEYS, connections=2), organization, RecordingStepLog()))
