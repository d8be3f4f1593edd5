"""Names of the organizations' databases and roles, and Signpost's own schema in these databases."""

import re
from pathlib import Path

MEMBERS_ROLE = "signpost_tenant"
"""The role that holds the privileges on the tables. Each organization's role is a member of it."""

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
"""Statements that create Signpost's schema in a database. They can run again."""

HAS_BEEN_USED = "select signpost.has_been_used()"
RECORD_REVISION = "select signpost.record_revision(%s, %s)"

_DATABASE_NAME = re.compile(r"org_[0-9a-f]{32}")


def is_organization_database(name: str) -> bool:
    """Return whether the name has the form of an organization's database."""
    return bool(_DATABASE_NAME.fullmatch(name))
