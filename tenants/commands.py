"""Running the tenants' migrations from code: the template, one database, or each of many goes through here."""

from pathlib import Path

from alembic import command
from alembic.config import Config

HERE = Path(__file__).parent


def configuration(database_url: str) -> Config:
    """Return alembic's configuration for that database."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring a tenant's schema up to ``revision``, in one transaction per numbered file."""
    command.upgrade(configuration(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take a tenant's schema back to ``revision``; ``base`` leaves nothing but the role."""
    command.downgrade(configuration(database_url), revision)
