"""What all processes must agree on about an organization's database."""

from uuid import UUID

HEALTHY = "healthy"
"""The one verdict on an organization's database with which its members may sign in."""


def database_name_of(organization_id: UUID) -> str:
    """Name the organization's database: by its id alone, so that nobody's input is ever part of an SQL name."""
    return f"org_{organization_id.hex}"
