# What the scripts share: places, progress lines, root rights, free ports, and processes known by what they are.
# shellcheck shell=bash disable=SC2034,SC2154
set -euo pipefail

# Settings for somebody's own server must not lead psql or the gateway to it.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGSERVICE PGOPTIONS PGCLUSTER DATABASE_URL

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root"
target="${CARGO_TARGET_DIR:-$root/target}"
mkdir -p "$target"
target="$(cd "$target" && pwd -P)"
run_dir="$target/run"
gateway_bin="$target/release/topup-gateway"
pg_bin=/usr/lib/postgresql/15/bin
pgrx_version=0.18.1
export PGRX_HOME="$root/target/pgrx"

# Cargo joins the features of all packages that it builds at a time. Always the same two groups, so that no
# dependency is compiled again for the sake of another's features.
extension=(--package pg_topup)
others=(--workspace --exclude pg_topup)

# A shell that did not read rustup's profile finds cargo all the same.
command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step <what> <command…>: runs the command between a line that says what and one that says how long.
step() {
    current_step="$1"
    local start_s=$SECONDS
    say "== $current_step"
    shift
    "$@"
    say "== $current_step: $((SECONDS - start_s)) s"
    current_step=""
}

# Not `"$@" || die` in step: a function called left of || goes on after an error.
current_step=""
trap 'status=$?; [ $status = 0 ] || [ -z "$current_step" ] || echo "error: failed: $current_step" >&2' EXIT

is_root() { [ "$(id -u)" = 0 ]; }

as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root and there is no sudo; as root, run: $*"
    fi
}

# Postgres refuses to run as root, so then it runs as user postgres, from a directory that user can enter.
as_postgres() {
    if is_root; then
        (cd / && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port <first>: the first free port of a hundred from there on.
free_port() {
    local port
    for ((port = $1; port < $1 + 100; port++)); do
        port_taken "$port" || {
            echo "$port"
            return
        }
    done
    die "no free port between $1 and $(($1 + 99))"
}

secret() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

# Waits up to <limit_s> seconds until the command succeeds.
wait_for() {
    local limit_s="$1" end
    shift
    end=$((SECONDS + limit_s))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}
