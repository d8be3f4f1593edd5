"""The pages, a module for each family of addresses, and the endpoints for monitoring."""
