"""Connects to PostgreSQL: reconnecting connections and statements prepared once for each session."""
