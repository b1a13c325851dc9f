#!/bin/sh
# Makes the demo's database, as it is before the deployment. The PostgreSQL image runs this once, as
# the superuser supabase_admin, in the empty database `loom`.
set -eu

run() {
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=loom --username="$1" --file="/loom/$2"
}

run supabase_admin roles.sql
run postgres schema.sql
run postgres seed.sql
