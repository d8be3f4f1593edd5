"""An API that hashes hastily: what is left is what a registration costs beside it."""

from api_service import cli
from bench.hasty import hashing_hastily


def main() -> None:
    """Do as `api-service`."""
    with hashing_hastily():
        cli.main()
