"""The numbered files of the tenants."""
