"""Chooses a provider for each message: failover order, circuit breakers, rate limits and shared state."""
