"""Run an application's Alembic environment with Signpost's own alembic: `python -m tenants.alembic_folder FOLDER`."""

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade_by_alembic(folder: str, url: str) -> None:
    """Upgrade the database of a ``postgresql://`` URL to all heads of the environment, in this process."""
    config = Config()
    config.set_main_option("script_location", folder)
    config.set_main_option("sqlalchemy.url", url.replace("postgresql:", "postgresql+psycopg:", 1).replace("%", "%%"))
    sys.path.insert(0, str(Path(folder).resolve().parent))  # env.py may import the application
    command.upgrade(config, "heads")


if __name__ == "__main__":
    upgrade_by_alembic(sys.argv[1], os.environ["DATABASE_URL"])
