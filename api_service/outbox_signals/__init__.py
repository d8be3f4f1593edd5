"""Signals between the API and the relays, through PostgreSQL."""
