"""Connections to PostgreSQL: their settings, timeouts, errors and migrations."""
