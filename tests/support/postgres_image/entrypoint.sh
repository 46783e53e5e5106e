#!/bin/bash
# What the entry point of the public image does, as far as docker-compose.yml relies on it.
set -euo pipefail
data=/var/lib/postgresql/18/docker
if [ ! -s "$data/PG_VERSION" ]; then
	mkdir -p "$data"
	chmod 700 "$data"
	initdb -D "$data" -U "$POSTGRES_USER" --auth-local=trust --auth-host=scram-sha-256 \
		--pwfile=<(printf '%s' "$POSTGRES_PASSWORD") -E UTF8 --locale=C
	echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
	pg_ctl -D "$data" -w -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
	export PGHOST=/tmp
	psql -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
	for script in /docker-entrypoint-initdb.d/*.sh; do "$script"; done
	pg_ctl -D "$data" -w -m fast stop
fi
exec postgres -D "$data" -c "listen_addresses=*" -c unix_socket_directories=/tmp
