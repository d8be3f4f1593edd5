"""Heartbeats: a row for each relay, so that operators see which relays are alive.

The poller's statement writes them, so they need no extra round trip. The row is written every ten seconds.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

HEARTBEAT_SECONDS = 10.0

# - "on conflict do update" is not used: it would lock the row at every poll, even without a change. Each lock causes a
#   write and a wait for the disk.
# - Values that a reload changed are written at once.
UPDATE_HEARTBEAT = f"""
    update relays
       set seen_at = now(), host = %(host)s, version = %(version)s, channels = %(channels_served)s::text[],
           batch_size = %(batch_size)s, connections = %(connections)s
     where id = %(relay)s
       and (seen_at < now() - interval '{HEARTBEAT_SECONDS} seconds'
            or (host, version, channels, batch_size, connections)
               is distinct from (%(host)s, %(version)s, %(channels_served)s::text[], %(batch_size)s, %(connections)s))
"""  # noqa: S608 - contains only constants

INSERT_HEARTBEAT = """
    insert into relays (id, host, version, channels, batch_size, connections)
    select %(relay)s::uuid, %(host)s::text, %(version)s::text, %(channels_served)s::text[], %(batch_size)s::integer,
           %(connections)s::integer
     where not exists (select from relays where id = %(relay)s)
        on conflict do nothing
"""


@dataclass(frozen=True)
class Heartbeat:
    """A relay as operators see it; ``id`` identifies the process, and stays the same after a reload."""

    id: UUID
    host: str
    version: str
    channels: tuple[str, ...]
    batch_size: int
    connections: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of UPDATE_HEARTBEAT and INSERT_HEARTBEAT."""
        return {
            "relay": self.id,
            "host": self.host,
            "version": self.version,
            "channels_served": list(self.channels),
            "batch_size": self.batch_size,
            "connections": self.connections,
        }
