#!/bin/sh
# Before each start: makes the data folder, once, and the users and databases that are missing, with the Secret's
# passwords. Killed anywhere and started again, it ends in the same state.
set -eu
umask 077

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new"
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata="$PGDATA.new" --username=postgres --pwfile=/tmp/password \
        --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    mv "$PGDATA.new" "$PGDATA"
fi

chmod 700 "$PGDATA" # a volume whose files were given to a group

# Reachable from this container only. What fails is not written to the log: it may hold a password.
pg_ctl start --wait --timeout=600 --silent --options="-c listen_addresses='' -c hba_file=/etc/slipway/pg_hba.conf \
    -c unix_socket_directories=/var/run/postgresql -c log_min_error_statement=panic"
psql --no-psqlrc --quiet --host=/var/run/postgresql --username=postgres --dbname=postgres \
    --set=ON_ERROR_STOP=1 --file=/etc/slipway/databases.sql
pg_ctl stop --wait --silent --mode=fast
