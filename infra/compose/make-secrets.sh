#!/bin/sh
# Makes what has to be secret, once: /secrets/<who>/ is that service's own volume, so that no service can read
# another's keys. Runs as root, because each folder belongs to the user of its container. What is there stays:
# running it again changes nothing.
set -eu
umask 077

ASTRAPHE=10001
GRAFANA=472

random_hex() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# A value in hex, made once and kept where only this script reads it.
kept() {
    file=/secrets/kept/$1
    [ -s "$file" ] || random_hex > "$file"
    cat "$file"
}

# setting <service> <NAME> <value>: a setting that the service's entrypoint reads.
setting() {
    mkdir -p "/secrets/$1/settings"
    printf '%s' "$3" > "/secrets/$1/settings/$2"
}

# signing_key <service> <file>: the key with which that service signs tokens.
signing_key() {
    [ -s "/secrets/$1/$2" ] || "$1" keygen "/secrets/$1/$2"
}

POSTGRES_PASSWORD=$(kept postgres)
PAYMENT_KEY=test_sk_$(kept payment)

signing_key user identity.pem
signing_key queue-server pass.pem
for service in user product order queue-server gateway; do
    printf '%s' "$(kept internal)" > "/secrets/$service/internal.key"
done

setting user DATABASE_URL "postgres://postgres:$POSTGRES_PASSWORD@postgres:5432/users"
setting product DATABASE_URL "postgres://postgres:$POSTGRES_PASSWORD@postgres:5432/product"
setting order DATABASE_URL "postgres://postgres:$POSTGRES_PASSWORD@postgres:5432/orders"
setting order PAYMENT_SECRET_KEY "$PAYMENT_KEY"
setting payment-sandbox SANDBOX_SECRET_KEY "$PAYMENT_KEY"

for service in user product order queue-server gateway payment-sandbox; do
    chown -R "$ASTRAPHE:$ASTRAPHE" "/secrets/$service"
done

# PostgreSQL and its exporter run as different users; only these two mount the folder.
printf '%s' "$POSTGRES_PASSWORD" > /secrets/postgres/password
chmod 0755 /secrets/postgres
chmod 0444 /secrets/postgres/password

printf '%s' "$(kept grafana)" > /secrets/grafana/admin-password
chown -R "$GRAFANA:$GRAFANA" /secrets/grafana
