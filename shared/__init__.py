"""Parts that the services share: vocabulary, tables, settings, logs, and access to PostgreSQL. Imports no service."""
