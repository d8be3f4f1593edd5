"""Providers as the relays know them together."""

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from operator_console.views import ProviderView
from shared.models import ProviderRow


def list_providers(session: Session) -> tuple[ProviderView, ...]:
    """Return all providers by name; their times are the database's."""
    breaker = case(
        (ProviderRow.openings == 0, "closed"),
        (ProviderRow.open_until > func.now(), "open"),
        else_="half_open",
    )
    query = select(ProviderRow, breaker.label("breaker")).order_by(ProviderRow.name)
    return tuple(
        ProviderView(
            provider=row.name,
            breaker=breaker,
            since=row.since,
            open_until=row.open_until,
            openings=row.openings,
            last_failure_class=row.last_failure_class,
            last_failed_at=row.last_failed_at,
            rate=row.rate,
            seen_at=row.seen_at,
        )
        for row, breaker in session.execute(query)
    )
