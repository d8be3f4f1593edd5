"""An application with a schema of its own in organizations' databases: a command that runs SQL."""

import shlex
import sys

from tenants.application import ApplicationMigrations

RUN = "import os, sys, psycopg; psycopg.connect(os.environ['DATABASE_URL'], autocommit=True).execute(sys.argv[1])"

FIRST = """
create table if not exists notes (id bigint generated always as identity primary key, text text not null);
create table if not exists plans (name text primary key);
insert into plans values ('basic') on conflict do nothing;
"""
SECOND = f"""
{FIRST}
create table if not exists audit (id bigint generated always as identity primary key, action text);
create index if not exists audit_action on audit (action);
"""
"""Fails if another role has created the table."""


def application(sql: str, revision: str) -> ApplicationMigrations:
    """Return the migrations that run these statements."""
    return ApplicationMigrations((sys.executable, "-c", RUN, sql), revision)


NOTES = application(FIRST, "1")
NOTES_AND_AUDIT = application(SECOND, "2")


def setting_of(migrations: ApplicationMigrations) -> str:
    """Return the text of ORGANIZATION_MIGRATIONS."""
    return f"{migrations.revision}: {shlex.join(migrations.command)}"
