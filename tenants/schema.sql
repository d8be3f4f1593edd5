-- Signpost's part of each organization's database and of their template, in a schema of its own. All of it can run
-- again and keeps what exists.

-- The role that holds the privileges of all organizations' roles. The right to connect limits each of them to its own
-- database. Checked first: without CREATEROLE, CREATE ROLE fails even if the role exists. Caught as well: several
-- databases of one server may be prepared at the same moment.
do $$ begin
    if not exists (select from pg_roles where rolname = 'signpost_tenant') then
        create role signpost_tenant nologin;
    end if;
exception when duplicate_object or unique_violation then null;
end $$;

create schema if not exists signpost;

-- One row. The template has no organization. Each health check writes checked_at as the organization's role.
create table if not exists signpost.database (
    is_only boolean primary key default true check (is_only),
    organization_id uuid,
    revision text not null default '',
    checked_at timestamptz
);
insert into signpost.database default values on conflict do nothing;

-- The application's tables after its migrations, with their contents, which show whether anyone has used them since.
create table if not exists signpost.tables (
    name text primary key,
    row_count bigint not null,
    digest numeric not null
);

create or replace view signpost.existing_tables as
select format('%I.%I', nspname, relname) as name
  from pg_class join pg_namespace on pg_namespace.oid = relnamespace
 where relkind in ('r', 'p') and not relispartition
   and nspname not in ('signpost', 'information_schema') and nspname !~ '^pg_';

-- The settings are fixed, since they change the text of a row.
create or replace function signpost.content_of(table_name text, out row_count bigint, out digest numeric)
language plpgsql
set search_path = pg_catalog set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
as $$
begin
    execute 'select count(*), coalesce(sum(hashtextextended(signpost_row::text, 0)::numeric), 0)'
        || ' from ' || table_name || ' as signpost_row' into row_count, digest;
end
$$;

-- Returns whether rows or tables differ from those after the migrations. Counts first, and never more rows than needed.
create or replace function signpost.has_been_used() returns boolean language plpgsql as $$
declare
    known signpost.tables;
    found_rows bigint;
begin
    if exists (select from signpost.tables full join signpost.existing_tables as existing using (name)
                where tables.name is null or existing.name is null) then
        return true;
    end if;
    for known in select * from signpost.tables loop
        execute format('select count(*) from (select from %s limit %s) as found', known.name, known.row_count + 1)
           into found_rows;
        if found_rows <> known.row_count then
            return true;
        end if;
    end loop;
    return exists (select from signpost.tables, signpost.content_of(tables.name) as content
                    where content.digest <> tables.digest);
end
$$;

-- Records the revision and the tables after the application's migrations. The contents of a used database stay as they
-- were recorded, so it remains used.
create or replace function signpost.record_revision(new_revision text, is_used boolean) returns void
language sql as $$
    delete from signpost.tables
     where not is_used or name not in (select name from signpost.existing_tables);
    insert into signpost.tables
    select name, content.* from signpost.existing_tables, signpost.content_of(name) as content
     where name not in (select name from signpost.tables);
    update signpost.database set revision = new_revision;
$$;

grant usage on schema signpost to signpost_tenant;
grant select on signpost.database, signpost.tables, signpost.existing_tables to signpost_tenant;
grant update (checked_at) on signpost.database to signpost_tenant;

-- What the application's migrations create from now on is open to the organizations' roles. A migration may revoke that.
alter default privileges grant usage on schemas to signpost_tenant;
alter default privileges grant select, insert, update, delete on tables to signpost_tenant;
alter default privileges grant usage, select on sequences to signpost_tenant;
