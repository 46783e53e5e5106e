#!/bin/sh
# Run once by the Postgres container, when it sets the database up: who Grafana is there. What the
# role leadsman_reader may read is granted by a migration.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -v password="$GRAFANA_PASSWORD" <<'SQL'
CREATE ROLE leadsman_reader NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'password' IN ROLE leadsman_reader;
SQL
