"""Hits against limits that look as old as a test wants them."""

from datetime import timedelta

from tests.support.databases import Database


def move(database: Database, by: timedelta) -> None:
    """Put all hits so far into the past."""
    with database.connect() as owner:
        owner.execute(
            "update rate_limits set ends_at = ends_at - %(by)s,"
            " hits = array(select hit - %(by)s from unnest(hits) as hit order by hit)",
            {"by": by},
        )
