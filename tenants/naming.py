"""What databases and roles are called: derived from an organization's id, never from what somebody typed."""

import re
from uuid import UUID

MEMBERS = "signpost_tenant"
"""The role that holds the rights to a tenant's tables; each organization's own role is a member of it."""

_OF_AN_ORGANIZATION = re.compile(r"org_([0-9a-f]{32})")


def database_name(organization_id: UUID) -> str:
    """Name an organization's database, and the role that logs in to it."""
    return f"org_{organization_id.hex}"


def organization_of(database: str) -> UUID | None:
    """Return whose database it is, or None where it is no organization's."""
    found = _OF_AN_ORGANIZATION.fullmatch(database)
    return UUID(hex=found[1]) if found else None


def template_name(revision: str) -> str:
    """Name the database that new ones of that revision are copied from."""
    return f"signpost_template_{revision}"
