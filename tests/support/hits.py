"""Change the age of hits against limits."""

from datetime import timedelta

from tests.support.databases import Database


def move(database: Database, by: timedelta) -> None:
    """Move all hits into the past by that much."""
    with database.connect() as owner:
        owner.execute(
            "update rate_limits set ends_at = ends_at - %(by)s,"
            " hits = array(select hit - %(by)s from unnest(hits) as hit order by hit)",
            {"by": by},
        )
