"""Run PostgreSQL, an inbox and all services as real processes on one machine, with one command."""
