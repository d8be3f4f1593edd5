"""Read-only queries. Addresses are masked unless the caller reveals them."""
