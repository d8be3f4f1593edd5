"""The relays at work, by the rows that they keep fresh."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from operator_console.views import RelayView
from shared.models import RelayRow
from shared.vocabulary import RELAY_ALIVE_SECONDS


def list_relays(session: Session) -> tuple[RelayView, ...]:
    """Return the relays that are alive, by host and then by age; times are the database's."""
    is_alive = RelayRow.seen_at > func.now() - timedelta(seconds=RELAY_ALIVE_SECONDS)
    query = select(RelayRow).where(is_alive).order_by(RelayRow.host, RelayRow.started_at, RelayRow.id)
    return tuple(
        RelayView(
            id=row.id,
            host=row.host,
            version=row.version,
            channels=tuple(row.channels),
            batch_size=row.batch_size,
            connections=row.connections,
            started_at=row.started_at,
            seen_at=row.seen_at,
        )
        for row in session.scalars(query)
    )
