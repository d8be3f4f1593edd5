#!/bin/sh
# Runs once, when the postgres container makes its data: a login for each process, in the role of the same name, and one
# that makes organizations' databases. The migration gives the roles what they need; it finds them here.
set -eu
ask() { # ask LOGIN: run the statements on standard input, which name it and its password
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
        --set=login="$1" --set=role="signpost_$1" --set=password="$(cat "${SECRETS:-/run/secrets}/$1-password")"
}

for login in api relay console; do
    ask "$login" <<'SQL'
create role :"role" nologin;
create role :"login" login password :'password' in role :"role";
grant connect on database :"DBNAME" to :"role";
SQL
done

# Organizations' members have logins on this server, too: none of the databases that are here already is theirs.
ask organizer <<'SQL'
create role :"login" login createdb createrole password :'password';
revoke connect on database :"DBNAME", postgres, template1 from public;
grant connect on database postgres to :"login";
SQL
