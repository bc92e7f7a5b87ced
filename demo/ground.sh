# What the demo stands on: its directory, its children, its waits.
# Sourced by run.sh.

started=$SECONDS
names=() pids=()

say() { printf '\033[1m[%3d s]\033[0m %s\n' $((SECONDS - started)) "$*"; }

die() {
  local log
  for log in "$D"/log/*; do
    [ -s "$log" ] || continue
    printf '%s\n' "--- the end of ${log##*/}" >&2
    tail -n 10 "$log" >&2
  done
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# Root gives its rights away, as the packages do; anybody else stays who he is.
# Whatever ends this shell, kill -9 included, also ends its children.
become() {
  user=$(id -un) as=(setpriv --pdeathsig TERM --)
  if [ "$(id -u)" = 0 ]; then
    user=nagios
    as=(setpriv --reuid=nagios --regid=nagios --init-groups --reset-env --pdeathsig TERM --)
  fi
  group=$(id -gn "$user")
}

free_ports() {
  /usr/bin/python3 - "$1" <<'PY'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PY
}

# start NAME COMMAND...: a child in the foreground, its output in log/NAME.log.
start() {
  local name=$1
  shift
  "${as[@]}" "$@" > "$D/log/$name.log" 2>&1 < /dev/null &
  names+=("$name") pids+=("$!")
}

running() { kill -0 "$1" 2> /dev/null; }

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
  local limit=$((SECONDS + $1)) what=$2 i
  shift 2
  until "$@" > /dev/null 2>&1; do
    for i in "${!pids[@]}"; do
      running "${pids[i]}" || die "${names[i]} ended while waiting for $what"
    done
    [ "$SECONDS" -lt "$limit" ] || die "waited in vain for $what"
    sleep 0.1
  done
}

port_open() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# Ends the children, last started first, and only them.
stop_all() {
  local i pid turn
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    pid=${pids[i]}
    kill -TERM "$pid" 2> /dev/null || continue
    for ((turn = 0; turn < 200; turn++)); do
      running "$pid" || break
      sleep 0.05
    done
    if running "$pid"; then
      printf 'demo: %s did not stop within 10 s and was killed\n' "${names[i]}" >&2
      kill -KILL "$pid"
    fi
  done
  pids=() names=()
}

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  stop_all
  if [ -n "${KEEP:-}" ]; then
    printf 'kept: %s\n' "$D"
  else
    # A check that Nagios had under way may still be writing its last result.
    rm -rf "$D" 2> /dev/null || { sleep 1; rm -rf "$D"; }
  fi
  exit "$status"
}
