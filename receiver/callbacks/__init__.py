"""The HTTP routes that SMS gateways call with receipts: ``app`` has them, each gateway's module reads its requests."""
