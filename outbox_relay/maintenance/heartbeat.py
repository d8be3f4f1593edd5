"""What a relay says of itself in the database, so that operators see which are alive.

Part of the lookout's one statement: it costs no round trip, and writes a row every ten seconds.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

# - Not "on conflict do update": it locks the row at every look, and so writes and waits for the disk in vain.
# - What a reload has changed is told at once.
UPDATE_HEARTBEAT = """
    update relays
       set seen_at = now(), host = %(host)s, version = %(version)s, channels = %(channels_served)s::text[],
           batch_size = %(batch_size)s, connections = %(connections)s
     where id = %(relay)s
       and (seen_at < now() - interval '10 seconds'
            or (host, version, channels, batch_size, connections)
               is distinct from (%(host)s, %(version)s, %(channels_served)s::text[], %(batch_size)s, %(connections)s))
"""

INSERT_HEARTBEAT = """
    insert into relays (id, host, version, channels, batch_size, connections)
    select %(relay)s::uuid, %(host)s::text, %(version)s::text, %(channels_served)s::text[], %(batch_size)s::integer,
           %(connections)s::integer
     where not exists (select from relays where id = %(relay)s)
        on conflict do nothing
"""


@dataclass(frozen=True)
class Heartbeat:
    """A relay as operators see it; ``id`` is its process's, and stays what it is over a reload."""

    id: UUID
    host: str
    version: str
    channels: tuple[str, ...]
    batch_size: int
    connections: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What UPDATE_HEARTBEAT and INSERT_HEARTBEAT need."""
        return {
            "relay": self.id,
            "host": self.host,
            "version": self.version,
            "channels_served": list(self.channels),
            "batch_size": self.batch_size,
            "connections": self.connections,
        }
