"""What all processes must agree on about an organization's database."""

from uuid import UUID


def database_name_of(organization_id: UUID) -> str:
    """Name the organization's database: by its id alone, so that nobody's input is ever part of an SQL name."""
    return f"org_{organization_id.hex}"
