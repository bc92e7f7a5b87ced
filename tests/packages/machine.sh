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

# check WHAT COMMAND...: in the machine, by bash; a failure is told and counted,
# and so is one that does not end.
check() {
  local what=$1 said
  shift
  if said=$(guest timeout 240 bash -c "set -eu; . /pkgs/names; $*" 2>&1); then
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
downgrade='$downgrade'
installed='$installed'
remove='$remove'
ready_ms=$([ "$PROFILE" = release ] && echo 300 || echo 1500)
# 25 MB, of which most is the program itself as it is read from the disk.
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
conf=/etc/weather-balloon/weather-balloon.toml
rss() { awk '/^VmRSS/ { print $2 }' /proc/$(pid $wb)/status; }
# Graphite, a directory and two clouds, at a port where nobody answers.
every_part() {
  install -m 640 -g weather-balloon /dev/null /etc/weather-balloon/cloud.secret
  echo not-a-secret > /etc/weather-balloon/cloud.secret
  sed -i -e '/^\[archive\]/,/^\[/s|^enabled = .*|enabled = true|' \
    -e '/^\[graphite\]/,/^\[/s|^url = ""|url = "http://127.0.0.1:9"|' \
    -e '/^\[directory\]/,/^\[/s|^url = ""|url = "ldap://127.0.0.1:9"|' \
    -e 's#^\(people\|groups\)_base = ""#\1_base = "dc=example,dc=org"#' $conf
  printf '[[cloud]]\nname = "%s"\nkind = "%s"\n' east openstack >> $conf
  printf '%s = "%s"\n' auth_url http://127.0.0.1:9/v3 username a project b \
    password_file /etc/weather-balloon/cloud.secret >> $conf
  printf '[[cloud]]\nname = "%s"\nkind = "%s"\n' aws ec2 >> $conf
  printf '%s = "%s"\n' region us-east-1 endpoint http://127.0.0.1:9 access_key_id A \
    secret_access_key_file /etc/weather-balloon/cloud.secret >> $conf
}
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
# How full the disk is lies with the machine that the tests run on.
all_in_order() { not grep -q "^FAIL" /tmp/said; grep "^WARN" /tmp/said | not grep -qv "^WARN  disk "; }
# The archive is opened beside the start.
has_points() { weather-balloon metrics vm-1 load.load1 --source archive | grep -q 0; }
# A passive result of vm-1, once Nagios listens.
result() {
  until_ 20 test -p $(sed -n "s/^command_file=//p" $main)
  printf "[%d] PROCESS_SERVICE_CHECK_RESULT;vm-1;Check Load;0;OK|%s\n" $(date +%s) "$1" > $(sed -n "s/^command_file=//p" $main)
}
both_clouds_fail() { [ "$(weather-balloon clouds list --output json | grep -o '"error":"' | wc -l)" -ge 2 ]; }
# The state database, as its owner: what a query gives, or changes of it.
asked() { runuser -u weather-balloon -- python3 -c 'import sqlite3, sys
for row in sqlite3.connect("/var/lib/weather-balloon/state.db", timeout=10).execute(sys.argv[1]): print(*row)' "$1"; }
changed() { runuser -u weather-balloon -- python3 -c 'import sqlite3, sys
sqlite3.connect("/var/lib/weather-balloon/state.db", timeout=10).executescript(sys.argv[1])' "$1"; }
schema() { asked "SELECT max(version) FROM refinery_schema_history"; }
# As the version before has left it, which knew nothing of the newest tables.
old_state() { changed "BEGIN; DROP TABLE absence; DROP TABLE appliance; ALTER TABLE generation DROP COLUMN caller; DELETE FROM refinery_schema_history WHERE version > 2; COMMIT"; }
generations() { asked "SELECT number, source, state, hex(set_digest), hosts FROM generation JOIN host_set ON digest = set_digest ORDER BY number"; }
# Whisper files of the sentinel and of hosts, by a real Carbon.
points() { find /var/lib/graphite/whisper/nagios -name '*.wsp' | grep -q "$1"; }
END
}
