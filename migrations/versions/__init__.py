"""The numbered migrations, each in its own transaction."""
