"""Provision or remove one organization in a process that is killed before a chosen statement."""

import asyncio
import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from outbox_relay.db.connection import RelayConnection
from outbox_relay.provisioning.model import Organization
from outbox_relay.provisioning.provision import drop, provision
from outbox_relay.provisioning.server import ProvisionServer
from tests.support.application import NOTES
from tests.support.keys import KEYS
from tests.support.tenants import RecordingStepLog

# The fork server has imported all modules once, and has no threads.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def killed_at(url: str, organization: Organization, number: int, *, is_removed: bool = False) -> str | None:
    """Provision until the process dies, and return the statement it died before, or None if it finished.

    A removed organization is dropped instead.
    """
    receiving, reporting = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(
        target=work_and_die, args=(url, organization, number, reporting), kwargs={"is_removed": is_removed}
    )
    child.start()
    reporting.close()
    child.join(timeout=120)
    assert child.exitcode in (0, -signal.SIGKILL)
    with receiving:
        return receiving.recv() if child.exitcode else None


def work_and_die(url: str, organization: Organization, number: int, reporting: Connection, *, is_removed: bool) -> None:
    """Report each next statement, and die as by kill -9 in place of the chosen one."""
    execute = RelayConnection.execute
    left = number

    async def execute_or_die(self: RelayConnection, query: Any, *rest: Any, **more: Any) -> Any:
        nonlocal left
        if not left:
            reporting.send(query if isinstance(query, str) else query.as_string())
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return await execute(self, query, *rest, **more)

    RelayConnection.execute = execute_or_die  # type: ignore[method-assign] - injects a fault, in this process only
    server = ProvisionServer(url, KEYS, connections=2, migrations=NOTES)
    work = drop(server, organization, is_removed=True, is_forced=True) if is_removed else None
    asyncio.run(work or provision(server, organization, RecordingStepLog()))
