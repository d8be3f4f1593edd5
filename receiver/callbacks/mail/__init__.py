"""Webhooks of HTTPS mail providers: ``routes`` has the route, each provider's module checks and reads its requests."""
