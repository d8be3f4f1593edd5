#!/bin/sh
# Creates the secrets that docker-compose.yml mounts, one file each, and keeps existing files.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

keep() { # keep NAME VALUE: write it, unless it is there
    [ -e "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"
    # The containers' users must be able to read the file. The folder keeps other users out.
    chmod 444 "$folder/$1"
}

fresh() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

for login in owner api relay console receiver; do
    keep "$login-password" "$(fresh 24)"
    keep "$login-database-url" "postgresql+psycopg://$login:$(cat "$folder/$login-password")@postgres/signpost"
done
keep organizer-password "$(fresh 24)"
keep provision-database-url "postgresql+psycopg://organizer:$(cat "$folder/organizer-password")@postgres/postgres"
keep secret-keys "first:$(head -c 32 /dev/urandom | base64)"
keep feedback-keys "first:$(head -c 32 /dev/urandom | base64)"
keep organization-keys "first:$(head -c 32 /dev/urandom | base64)"
keep email-providers "smtp://mailpit:1025?tls=none"
keep sms-providers ""
