"""The schema of organizations' databases, and the `tenants` command that upgrades them and renews their passwords.

The relay imports ``schema`` only and so starts without alembic. Alembic runs in a separate process.
"""
