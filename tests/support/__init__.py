"""Helpers for all tests: databases, builders, and fakes of external services."""
