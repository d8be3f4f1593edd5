"""The schemas of organizations' databases, and the `tenants` command that upgrades them."""
