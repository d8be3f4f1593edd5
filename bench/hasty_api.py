"""An API that hashes as carelessly as argon2 allows: what is left is what a registration costs beside it."""

from unittest.mock import patch

from argon2 import PasswordHasher

from api_service import cli


def main() -> None:
    """Do as `api-service`."""
    with patch("api_service.passwords._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)):
        cli.main()
