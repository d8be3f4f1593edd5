"""Running the tenants' migrations from code: the template, one database, or each of many goes through here."""

from pathlib import Path

from shared.migrating import Migrations

_tenant = Migrations(Path(__file__).parent)

upgrade = _tenant.upgrade
downgrade = _tenant.downgrade
