#!/bin/sh
# Runs once, when the postgres container makes its data: a login for each process, in the role of the same name.
# The migration gives the roles what they need; it finds them here.
set -eu
for login in api relay console; do
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
        --set=login="$login" --set=role="signpost_$login" --set=password="$(cat "${SECRETS:-/run/secrets}/$login-password")" <<'SQL'
create role :"role" nologin;
create role :"login" login password :'password' in role :"role";
SQL
done
