#!/bin/sh
# Starts PostgreSQL as the public image does, as far as it is used here:
# POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA, *.sql and *.sh of
# /docker-entrypoint-initdb.d on an empty folder, and never as root.
set -eu
case "${1-}" in '' | -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chown postgres:postgres "$PGDATA" /run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres} db=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
  if [ -z "${POSTGRES_PASSWORD-}" ]; then
    echo "POSTGRES_PASSWORD is empty: set the password of user $user" >&2
    exit 1
  fi
  printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$PGDATA" --username="$user" --pwfile=/dev/stdin \
    --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
  chmod 700 "$PGDATA"
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  run() { psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$user" "$@"; }
  [ "$db" = postgres ] || echo 'CREATE DATABASE :"db"' | run --dbname=postgres --set=db="$db"
  for f in /docker-entrypoint-initdb.d/*; do
    case $f in
    *.sql) run --dbname="$db" --file="$f" ;;
    *.sh) . "$f" ;;
    esac
  done
  pg_ctl --wait --mode=fast stop
fi
unset POSTGRES_PASSWORD
exec "$@"
