#!/bin/sh
# Starts the program named by the first word. Settings that are secrets (a database address with its password, a
# payment key) are files named for the setting under /secrets/settings, so that neither the compose file nor
# `docker inspect` shows them; a variable that is already set wins.
set -eu

for file in /secrets/settings/*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    if ! printenv "$name" > /dev/null; then
        export "$name=$(cat "$file")"
    fi
done

exec "$@"
