# A private Postgres under $run_dir (that of `make run`, if not told otherwise): how it starts and stops; sourced after lib.sh.
# shellcheck shell=bash disable=SC2154

# Makes $run_dir. As root the server runs as user postgres, who may be unable to enter this checkout (/root and
# fresh temporary directories are 0700). Then the directory lives under /var/tmp, named after its place, and
# $run_dir is a link to it.
place_run_dir() {
    if [ ! -e "$run_dir" ]; then
        if is_root && ! as_postgres test -x "$target"; then
            local away
            away="$(away_dir)"
            [ -e "$away" ] || mkdir -m 0711 "$away"
            ln -sfn "$away" "$run_dir"
        else
            mkdir -m 0711 "$run_dir"
        fi
    fi
    # /var/tmp is everybody's: a directory that somebody else put there is not ours to trust.
    [ "$(stat -L -c %u "$run_dir")" = "$(id -u)" ] ||
        die "$(readlink -f "$run_dir") belongs to another user; use that user, or remove it"
    chmod 0711 "$run_dir/"
    # From here on by its real path, for user postgres cannot follow the link.
    run_dir="$(readlink -f "$run_dir")"
}

away_dir() { echo "/var/tmp/pg_topup-$(printf %s "$run_dir" | sha256sum | cut -c1-12)"; }

# The pid of our running server; nothing when it is not running. A pid file may be stale and its number
# somebody else's by now, so the process must be a postgres that works in our data directory.
cluster_pid() {
    local pid
    pid="$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" || return 1
    [ "$(readlink -f "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$pg_bin/postgres")" ] || return 1
    [ "$(readlink -f "/proc/$pid/cwd" 2>/dev/null)" = "$data" ] || return 1
    echo "$pid"
}

cluster_init() {
    local password
    password="$(secret)"
    rm -rf "$data.new"
    mkdir -m 0700 "$data.new"
    is_root && chown postgres: "$data.new"
    # The password comes by the environment, which other users cannot read.
    # shellcheck disable=SC2016
    TOPUP_PASSWORD="$password" as_postgres bash -c 'exec "$1/initdb" --pgdata="$2" --pwfile=<(printf %s "$TOPUP_PASSWORD") \
        --username=postgres --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8' \
        initdb "$pg_bin" "$data.new" >"$run_dir/initdb.log" 2>&1 || die "initdb failed, see $run_dir/initdb.log"
    # Passwords on loopback and no socket: a path below a deep checkout is too long for one.
    as_postgres tee -a "$data.new/postgresql.conf" >/dev/null <<-CONF
	listen_addresses = '127.0.0.1'
	unix_socket_directories = ''
	CONF
    (umask 077 && echo "127.0.0.1:*:*:postgres:$password" >"$admin_pgpass")
    mv "$data.new" "$data"
}

# A pid file that names somebody else's process, or a dead one that nobody has buried, would keep the server from
# starting. One that names any postgres is left to the server, which judges it by its shared memory.
forget_stale_pid() {
    local pid
    pid="$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" || return 0
    grep -qs postgres "/proc/$pid/cmdline" || rm -f "$data/postmaster.pid"
}

cluster_start() {
    [ -e "$data" ] || cluster_init
    if cluster_pid >/dev/null; then
        pg_port="$(cat "$run_dir/pg_port")"
        return
    fi
    forget_stale_pid
    pg_port="$(cat "$run_dir/pg_port" 2>/dev/null || true)"
    # Between the look and the start somebody else may take the port.
    for _ in 1 2 3; do
        if [ -z "$pg_port" ] || port_taken "$pg_port"; then
            pg_port="$(free_port 15432)"
            echo "$pg_port" >"$run_dir/pg_port"
        fi
        as_postgres "$pg_bin/pg_ctl" start --wait --silent --pgdata="$data" --log="$data/server.log" \
            --options="-p $pg_port" </dev/null >/dev/null 2>&1 9>&- && return
        port_taken "$pg_port" || break
    done
    die "Postgres does not start, see $data/server.log"
}

cluster_stop() {
    cluster_pid >/dev/null || return 0
    as_postgres "$pg_bin/pg_ctl" stop --wait --silent --mode=fast --pgdata="$data"
}

# psql as the superuser; the file's password never appears in a command line.
admin_psql() {
    PGPASSFILE="$admin_pgpass" "$pg_bin/psql" -h 127.0.0.1 -p "$pg_port" -U postgres \
        --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

place_run_dir
data="$run_dir/data"
admin_pgpass="$run_dir/pgpass"
