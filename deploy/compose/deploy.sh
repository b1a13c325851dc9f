#!/bin/sh
# Applies the migrations of an edition, `healthy` or `published`, in their order.
set -eu

for migration in /loom/migrations/"$1"/*.sql; do
    echo "applying $(basename "$migration")"
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --file="$migration"
done
