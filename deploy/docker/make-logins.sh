#!/bin/sh
# Runs once, when the postgres container creates its data. It creates a role and a login for each process, and a login
# that creates organizations' databases. The migration grants the roles their rights later.
set -eu
ask() { # ask LOGIN: run the statements on standard input with the variables login, role and password
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
        --set=login="$1" --set=role="signpost_$1" --set=password="$(cat "${SECRETS:-/run/secrets}/$1-password")"
}

for login in api relay console receiver; do
    ask "$login" <<'SQL'
create role :"role" nologin;
create role :"login" login password :'password' in role :"role";
grant connect on database :"DBNAME" to :"role";
SQL
done

# Organizations' members also have logins on this server, and must not connect to the existing databases.
ask organizer <<'SQL'
create role :"login" login createdb createrole password :'password';
revoke connect on database :"DBNAME", postgres, template1 from public;
grant connect on database postgres to :"login";
SQL
