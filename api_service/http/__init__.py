"""HTTP concerns that routes share: problems, idempotency, authentication, limits, headers, and OpenAPI annotations."""
