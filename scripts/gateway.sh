# The gateway process of `make run`: found by its own pid, started and stopped; sourced after cluster.sh.
# shellcheck shell=bash disable=SC2034,SC2154

gateway_log="$run_dir/gateway.log"

# The pid of our running gateway. A pid file may be stale, so the process must run our binary
# (the kernel marks it as deleted once a new one was built).
gateway_pid() {
    local pid exe
    pid="$(cat "$run_dir/gateway.pid" 2>/dev/null)" || return 1
    exe="$(readlink "/proc/$pid/exe" 2>/dev/null)" || return 1
    [ "${exe% (deleted)}" = "$gateway_bin" ] || return 1
    echo "$pid"
}

gateway_gone() { ! gateway_pid >/dev/null; }

gateway_stop() {
    local pid
    pid="$(gateway_pid)" || return 0
    kill "$pid" 2>/dev/null || true
    # What is in flight may end first, within the 25 s that the gateway gives itself.
    wait_for 30 gateway_gone || kill -9 "$pid" 2>/dev/null || true
}
