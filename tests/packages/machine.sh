# A system in a container; sourced by tests/packages.sh.

boot() {
  local machine=$work/machine-$1 try pid
  rm -rf "$machine"
  cp -a --reflink=auto "$work/tree" "$machine"
  : > "$machine/etc/machine-id"
  mkdir -p "$machine/pkgs"
  cp "$work/first.$1" "$work/second.$1" "$machine/pkgs/"
  # Its own network, so that no port clashes; see systemd-nspawn(1).
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn -q -b -D "$machine" \
    --machine="wb-$1-$$" --register=no --keep-unit --private-network --resolv-conf=off \
    --timezone=off --link-journal=no --console=passive < /dev/null > "$work/console-$1.log" 2>&1 &
  nspawn=$! leader=
  for try in $(seq 300); do
    kill -0 "$nspawn" 2> /dev/null || { nspawn=; return 1; }
    for pid in $(cat /proc/"$nspawn"/task/*/children 2> /dev/null); do
      if [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = systemd ]; then leader=$pid; fi
    done
    if [ -n "$leader" ] && guest systemctl is-system-running 2> /dev/null | grep -qE '^(running|degraded)$'; then
      return 0
    fi
    sleep 0.2
  done
  power_off
  return 1
}

guest() {
  nsenter -t "$leader" -m -u -i -n -p -C -r -w -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=cat "$@"
}

power_off() {
  local try
  [ -n "$nspawn" ] || return 0
  [ -z "$leader" ] || guest systemctl poweroff --no-wall > /dev/null 2>&1 || true
  for try in $(seq 100); do
    kill -0 "$nspawn" 2> /dev/null || { nspawn=; return 0; }
    sleep 0.2
  done
  kill -9 "$nspawn"
  nspawn=
}

# check WHAT COMMAND...: in the machine, by bash; a failure is told and counted.
check() {
  local what=$1 said
  shift
  if said=$(guest bash -c "set -eu; . /pkgs/names; $*" 2>&1); then
    passed=$((passed + 1))
    echo "ok   $kind: $what"
    # What a check that passes has to tell: its figures.
    printf '%s\n' "$said" | sed -n 's/^figure: /     /p'
  else
    failed=$((failed + 1))
    echo "FAIL $kind: $what"
    printf '%s\n' "$said" | tail -n 15 | sed 's/^/     /'
  fi
}

# size PACKAGE: of a release; other profiles are not made for it.
size() {
  local bytes
  bytes=$(stat -c %s "$1")
  if [ "$PROFILE" = release ] && [ "$bytes" -gt 8000000 ]; then
    failed=$((failed + 1))
    echo "FAIL $kind: the package has at most 8 MB: $bytes bytes"
  else
    passed=$((passed + 1))
    echo "ok   $kind: the package of profile $PROFILE has $bytes bytes"
  fi
}

# What the commands of the checks may use.
write_names() {
  cat > "$work/machine-$kind/pkgs/names" <<END
wb=weather-balloon.service
nagios=$nagios_unit
etc=$nagios_etc
main=$nagios_etc/nagios.cfg
nagios_v() { $nagios_binary -v \$main; }
objects=$objects
install_first='$install_first'
install_second='$install_second'
remove='$remove'
ready_ms=$([ "$PROFILE" = release ] && echo 300 || echo 1500)
idle_kb=$([ "$PROFILE" = release ] && echo 25600 || echo 51200)
END
  cat >> "$work/machine-$kind/pkgs/names" <<'END'
# "set -e" passes over "! command" unless it stands last.
not() { if "$@"; then echo "this should fail: $*"; return 1; fi; }
# Ends with CODE, whatever it prints into /tmp/said: exits CODE COMMAND...
exits() {
  local wanted=$1 code=0
  shift
  "$@" > /tmp/said 2>&1 || code=$?
  [ $code = $wanted ] || { cat /tmp/said; echo "exit code $code, not $wanted"; return 1; }
}
# The files that setup edits, and who may do what with them.
edited() { find $etc /etc/carbon /etc/weather-balloon -not -path "*/setup*" -type f -not -name "*hosts.cfg*" -printf "%p %u:%g %m " -exec sha256sum {} \; | sort; }
state=/var/lib/weather-balloon
all_the_services() { [ -z "$(find $state ! -user weather-balloon -print | tee /dev/stderr)" ]; }
pid() { systemctl show -p MainPID --value "$1"; }
restarts() { systemctl show -p NRestarts --value $wb; }
# until SECONDS COMMAND...
until_() {
  local end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "not within the time: $*"; "$@"; return 1; }
    sleep 0.2
  done
}
watched() { grep -q "host_name[[:space:]]*$1\$" $objects; }
hosts() { printf '[{"id":"%s","display_name":"one","address":"127.0.0.7"}]' "$1" > /tmp/hosts.json; }
set_hosts() { hosts "$1"; weather-balloon hosts set /tmp/hosts.json --wait --timeout 60s; }
answers() { weather-balloon hosts list; }
# A passive result of vm-1, once Nagios listens.
result() {
  until_ 20 test -p $(sed -n "s/^command_file=//p" $main)
  printf "[%d] PROCESS_SERVICE_CHECK_RESULT;vm-1;Check Load;0;OK|%s\n" $(date +%s) "$1" > $(sed -n "s/^command_file=//p" $main)
}
# Whisper files of the sentinel and of hosts, by a real Carbon.
points() { find /var/lib/graphite/whisper/nagios -name '*.wsp' | grep -q "$1"; }
END
}
