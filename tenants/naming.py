"""What roles and databases are called beside those that shared/organizations.py names."""

import re
from uuid import UUID

MEMBERS = "signpost_tenant"
"""The role that holds the rights to a tenant's tables; each organization's own role is a member of it."""

_OF_AN_ORGANIZATION = re.compile(r"org_[0-9a-f]{32}")


def is_of_an_organization(database: str) -> bool:
    """Tell whether a database is called as organizations' are."""
    return bool(_OF_AN_ORGANIZATION.fullmatch(database))


def organization_id_of(database: str) -> UUID:
    """Return whose database it is, by its name."""
    return UUID(database.removeprefix("org_"))


def template_name(revision: str) -> str:
    """Name the database that new ones of that revision are copied from."""
    return f"signpost_template_{revision}"
