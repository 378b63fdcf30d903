#!/bin/sh
# Makes the cluster and the database that the variables name, then runs the server.
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
if [ ! -e "$data/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    "$bin/initdb" -D "$data" -E UTF8 --locale C.UTF-8 -U "$POSTGRES_USER" -A scram-sha-256 --pwfile /tmp/password >/dev/null
    sed -i 's/^local .*/local all all trust/' "$data/pg_hba.conf"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    "$bin/pg_ctl" -D "$data" -o "-c listen_addresses=" -w start >/dev/null
    "$bin/createdb" -U "$POSTGRES_USER" "$POSTGRES_DB" 2>/dev/null || true
    "$bin/pg_ctl" -D "$data" -w stop >/dev/null
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*'
