"""Hashing as carelessly as argon2 allows, where what stands beside it is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from argon2 import PasswordHasher

from api_service.use_cases.sign_in import NO_USER

HASTY = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@contextmanager
def hashing_hastily() -> Iterator[None]:
    """Have the API of this process hash so."""
    # A password is compared with nobody's where there is nobody: that must not take longer now.
    nobody = replace(NO_USER, password_hash=HASTY.hash("nobody's"))
    with patch("api_service.security.passwords._hasher", HASTY), patch("api_service.use_cases.sign_in.NO_USER", nobody):
        yield
