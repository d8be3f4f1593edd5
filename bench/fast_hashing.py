"""The API with the cheapest password hashing that argon2 allows, to measure or test everything else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from argon2 import PasswordHasher

from api_service import cli
from api_service.use_cases.sessions import NO_USER

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@contextmanager
def fast_hashing() -> Iterator[None]:
    """Make the API of this process hash fast."""
    # Without an account, a password is compared with the hash of a dummy: that must be as fast.
    dummy = replace(NO_USER, password_hash=FAST.hash("nobody's"))
    with patch("api_service.security.passwords._hasher", FAST), patch("api_service.use_cases.sessions.NO_USER", dummy):
        yield


def main() -> None:
    """Run ``api-service`` with fast hashing."""
    with fast_hashing():
        cli.main()
