#!/bin/bash
# What the official image promises: POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE, or POSTGRES_HOST_AUTH_METHOD=trust),
# POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS and PGDATA, and scripts in /docker-entrypoint-initdb.d that run
# once, while the new database answers on its socket only. It runs as uid 999, and only PGDATA, /var/run/postgresql
# and /tmp need to be writable.
set -euo pipefail

if [ "${1:-}" = "" ] || [ "${1#-}" != "$1" ]; then
    set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
    exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres: "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

mkdir -p "$PGDATA"
chmod 0700 "$PGDATA" || true # a volume's fsGroup opens it, and the server refuses that

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password="${POSTGRES_PASSWORD:-}"
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        password="$(cat "$POSTGRES_PASSWORD_FILE")"
    fi
    method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    user="${POSTGRES_USER:-postgres}"
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo "Error: Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD." >&2
        exit 1
    fi
    # shellcheck disable=SC2086
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
    printf "\nlisten_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
    export PGPASSWORD="$password"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    run=(psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$user")
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        "${run[@]}" --dbname postgres --set db="${POSTGRES_DB:-$user}" <<<'CREATE DATABASE :"db";'
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case "$script" in
        *.sh) if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
        *.sql) "${run[@]}" --dbname "${POSTGRES_DB:-$user}" -f "$script" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    echo "PostgreSQL init process complete; ready for start up."
fi
exec "$@"
