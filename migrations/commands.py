"""Running the migrations from code: `api-service migrate` and the tests go through here."""

from pathlib import Path

from shared.db.migrating import Migrations

_schema = Migrations(Path(__file__).parent)

configuration = _schema.configuration
upgrade = _schema.upgrade
check = _schema.check
