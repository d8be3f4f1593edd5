"""Running the migrations from code: `api-service migrate` and the tests go through here."""

from pathlib import Path

from alembic import command
from alembic.config import Config

HERE = Path(__file__).parent


def configuration(database_url: str) -> Config:
    """Return alembic's configuration for that database; ``%`` in the URL is kept as it is."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema up to ``revision``, in one transaction per numbered file."""
    command.upgrade(configuration(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to ``revision``; ``base`` leaves nothing but the roles."""
    command.downgrade(configuration(database_url), revision)


def check(database_url: str) -> None:
    """Raise unless the models and the migrated schema agree."""
    command.check(configuration(database_url))
