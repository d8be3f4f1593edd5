"""Delivers claimed messages: consumers, message sources, polling, retries, fallbacks and poison isolation."""
