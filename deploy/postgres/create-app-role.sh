#!/bin/sh
# Runs once, when the database is made: the restricted role, which owns nothing and which row-level security binds.
set -eu
psql --set ON_ERROR_STOP=1 --set password="${APP_PASSWORD:?set APP_PASSWORD in .env}" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE tokensight_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
SQL
