"""The migrations of the database: numbered files, each compatible with the previous release while it still runs."""
