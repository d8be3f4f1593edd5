"""All of it on one machine from one command: PostgreSQL, an inbox, the services as real processes."""
