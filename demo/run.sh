#!/bin/bash
# The appliance with a real Nagios and NRPE on loopback: 50 hosts go in through
# Thrift, Nagios proves that it reads them and checks them, and what it measured
# comes back from the appliance's own archive as a plot. With GRAPHITE=1 it goes to
# a real Carbon and comes back from a real graphite-web. A small cloud with a
# changing fleet is polled beside them, and its users are ranked. Runs until Ctrl-C;
# with ONCE=1 it ends by itself, with status 0 only if all of it worked. KEEP=1
# keeps the directory.
set -euo pipefail
cd "$(dirname "$0")/.."
. demo/ground.sh
. demo/servers.sh

hosts=50
host=
graphite=${GRAPHITE:-}

say "installing what is missing, building"
bash tests/install.sh
profile=${PROFILE:-release}
cargo build --locked --quiet --profile "$profile" --bin weather-balloon --example fake-openstack
target=target/$([ "$profile" = dev ] && echo debug || echo "$profile")
built=$target/weather-balloon

# Short, because a socket's path holds at most 107 bytes.
D=$(mktemp -d /tmp/wb.XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir "$D/log"
become
read -r nrpe_port line_port pickle_port query_port web_port rpc_port page_port cloud_port < <(free_ports 8)
cp "$built" "$D/weather-balloon"
cp "$target/examples/fake-openstack" "$D/fake-openstack"
write_nrpe
write_nagios
[ -z "$graphite" ] || write_carbon
write_appliance
write_cloud
"$D/fake-openstack" hosts "$hosts" > "$D/hosts.json"
if [ "$(id -u)" = 0 ]; then
  chown -R "$user:$group" "$D"
fi

say "starting NRPE${graphite:+, Carbon, graphite-web} and Nagios as $user"
start nrpe /usr/sbin/nrpe -c "$D/nrpe/nrpe.cfg" -f
"${as[@]}" /usr/sbin/nagios4 -v "$D/nagios/nagios.cfg" > "$D/log/nagios-verify.log" 2>&1 ||
  die "Nagios refuses the demo's configuration"
start nagios /usr/sbin/nagios4 "$D/nagios/nagios.cfg"
[ -z "$graphite" ] || start_graphite
await 30 "NRPE" port_open "$nrpe_port"
await 60 "Nagios's command FIFO" test -p "$D/nagios/rw/nagios.cmd"
await 60 "Nagios's status file" test -s "$D/nagios/status.dat"
[ -z "$graphite" ] || await_graphite

say "starting a cloud of about 8 servers, which changes every two minutes"
start_cloud

say "starting the appliance"
balloon=("$D/weather-balloon" --address "127.0.0.1:$rpc_port")
start weather-balloon "$D/weather-balloon" --config "$D/weather-balloon.toml" serve
await 20 "the appliance's address" port_open "$rpc_port"
await 20 "the page" curl -sf "http://127.0.0.1:$page_port/"
await 20 "the appliance's answer" "${balloon[@]}" hosts list

say "set_hosts with $hosts hosts, through Thrift, and waiting for Nagios"
"${balloon[@]}" hosts set "$D/hosts.json" --wait || die "set_hosts failed"
# The objects that the running Nagios has, said by Nagios and not by us.
watched=$(grep -c '^\s*host_name\s*i-' <(sed -n '/^define host {/,/^\s*}/p' "$D/nagios/objects.cache")) || true
[ "$watched" = "$hosts" ] || die "Nagios watches $watched hosts and not $hosts"
say "Nagios itself lists $watched hosts"

source=archive
[ -z "$graphite" ] || source=graphite
say "waiting for a measured load to come through NRPE, Nagios and the appliance to the $source"
# The first that is there: on a busy machine a single check may time out.
measured() {
  for host in i-0000000{1..9}; do
    "${balloon[@]}" metrics "$host" load.load1 --source "$source" | grep -q '^load\.load1 ' && return
  done
  return 1
}
await 300 "a measured load in the $source" measured
flows() { "${balloon[@]}" check perfdata | grep -v 'samples=0c'; }
await 60 "the state of the performance data" flows
say "$(flows)"

say "get_metrics of $host"
"${balloon[@]}" metrics "$host" 'load.*' --plot

say "the cloud's running servers in Nagios, and who used how much of it"
cloud_watched() { grep -Eo '^\s*host_name\s+demo_\S+' "$D/nagios/objects.cache"; }
await 60 "the cloud's servers in Nagios" cloud_watched
"${balloon[@]}" clouds list
say "Nagios itself lists $(cloud_watched | sort -u | wc -l) servers of the cloud"
used() { "${balloon[@]}" usage top | grep -E '^(amelia|bruno|chidi|dagny|emre|farah) '; }
await 60 "somebody's use of the cloud" used
"${balloon[@]}" usage top

cat <<EOT

What runs where (all as $user, below $D):
  weather-balloon  127.0.0.1:$rpc_port (Thrift)     log/weather-balloon.log, weather-balloon.toml, state/
  The page         http://127.0.0.1:$page_port
  Nagios           nagios/rw/nagios.cmd (FIFO)    log/nagios-own.log, nagios/nagios.cfg, nagios/hosts/hosts.cfg
  NRPE             127.0.0.1:$nrpe_port              log/nrpe-own.log
  OpenStack (fake) 127.0.0.1:$cloud_port              log/openstack.log
EOT
if [ -n "$graphite" ]; then
  cat <<EOT
  Carbon           127.0.0.1:$line_port (plaintext), :$pickle_port (pickle)
  graphite-web     http://127.0.0.1:$web_port
Each point has gone from NRPE through Nagios, nagios/perfdata, the appliance and Carbon.
EOT
else
  cat <<EOT
Each point has gone from NRPE through Nagios, nagios/perfdata and the appliance into state/metrics.db.
EOT
fi
cat <<EOT
Try:
  $built --address 127.0.0.1:$rpc_port hosts list
  $built --address 127.0.0.1:$rpc_port hosts history
  $built --address 127.0.0.1:$rpc_port metrics i-0000002a
  $built --address 127.0.0.1:$rpc_port clouds list
  $built --address 127.0.0.1:$rpc_port usage top
EOT

if [ -n "${ONCE:-}" ]; then
  say "all of it worked; stopping"
  exit 0
fi
say "Ctrl-C stops everything and removes the directory"
trap 'echo; say stopping; exit 0' INT TERM
ended=
wait -n -p ended "${pids[@]}" || true
for i in "${!pids[@]}"; do
  [ "${pids[i]}" != "$ended" ] || die "${names[i]} ended by itself"
done
