#!/bin/sh
# Makes secrets/ for compose.yaml, once; what is there already is kept. Compose mounts files with the owner they have here,
# and every service runs as another user: run it as root.
#   sudo ./make_secrets.sh approve.example.com
set -eu
umask 077
name=${1:?Name the host of the issuer: ./make_secrets.sh approve.example.com}
folder=${2:-$(dirname "$0")/secrets}
countersign=10001 postgres=999 redis=999 haproxy=99

mkdir -p "$folder"
# Services reach their file through here; nobody can list it.
chmod 711 "$folder"
cd "$folder"

keep() { # keep <file> <user>: from standard input, unless it is there
  if [ ! -e "$1" ]; then
    cat > "$1.new"
    chown "$2:$2" "$1.new"
    chmod 400 "$1.new"
    mv "$1.new" "$1"
  fi
}

# Without the root key nothing stored can be read again: keep a copy apart from the backups of the database.
openssl rand -base64 32 | keep root.key "$countersign"
openssl rand -hex 24 | keep postgres.password "$postgres"
echo "postgres:5432:countersign:countersign:$(cat postgres.password)" | keep pgpass "$countersign"
openssl rand -hex 24 | keep redis.password "$countersign"
# The server may do all it needs to its own keys and channels, and nothing that changes Redis itself.
{
  echo 'user default off'
  echo "user countersign on >$(cat redis.password) ~countersign:* &countersign:* +@all -@admin -@dangerous +info +config|get +cluster|slots +cluster|shards +cluster|nodes"
} | keep redis.users "$redis"
# For trying it out. For real use, put the certificate with its chain and its key into tls.pem before the first start.
if [ ! -e tls.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name" -keyout tls.key -out tls.crt 2> openssl.log || { cat openssl.log >&2; exit 1; }
  cat tls.crt tls.key | keep tls.pem "$haproxy"
  rm -f tls.key tls.crt openssl.log
fi
echo "The secrets are in $folder. Copy root.key to a place that no backup of the database reaches."
