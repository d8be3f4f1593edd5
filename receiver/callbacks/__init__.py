"""The HTTP routes that SMS gateways and mail providers call: ``app`` has them, the other modules read the requests."""
