"""An API that hashes as carelessly as argon2 allows: what is left is what a registration costs beside it."""

from dataclasses import replace
from unittest.mock import patch

from argon2 import PasswordHasher

from api_service import cli
from api_service.use_cases.sign_in import NOBODY

HASTY = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def main() -> None:
    """Do as `api-service`."""
    # A password is compared with nobody's where there is nobody: that must not take longer now.
    nobody = replace(NOBODY, password_hash=HASTY.hash("nobody's"))
    with patch("api_service.passwords._hasher", HASTY), patch("api_service.use_cases.sign_in.NOBODY", nobody):
        cli.main()
