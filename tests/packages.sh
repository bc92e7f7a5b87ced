#!/bin/bash
# Installs the deb and the rpm in a Debian system with a real systemd, a real
# Nagios and a real Carbon, which is booted by systemd-nspawn from a tree in
# target/packages, and checks what an administrator would. Beside each check
# stands what it is there to catch: a change that makes it fail.
#
# usage: tests/packages.sh
#   PROFILE=release      the cargo profile of the program in the packages; the
#                        figures hold for release alone
#   PROGRAM=             a program that is built already, in place of building
#   KINDS="deb rpm"
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/packages
export PROFILE=${PROFILE:-release}
mkdir -p "$work"

skip() { echo "test-packages: SKIPPED, nothing was checked: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "a container with a systemd of its own takes root"
command -v apt-get > /dev/null || skip "this is not Debian"

tools=(binutils lintian mmdebstrap rpm rpmlint systemd-container xz-utils)
missing=()
for tool in "${tools[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$tool" 2> /dev/null)" = installed ] || missing+=("$tool")
done
if [ "${#missing[@]}" -gt 0 ]; then
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install \
      --yes --no-install-recommends "${missing[@]}"; } > "$work/tools.log" 2>&1 < /dev/null ||
    skip "these could not be installed: ${missing[*]}; see $work/tools.log"
fi

if [ ! -e "$work/tree.whole" ]; then
  rm -rf "$work/tree"
  mmdebstrap --quiet --variant=apt --mode=root --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io \
    --include=systemd-sysv,dbus,procps,iproute2,nagios4-core,nagios4-common,monitoring-plugins-basic,nagios-nrpe-plugin,graphite-carbon,python3,rpm \
    bookworm "$work/tree" > "$work/tree.log" 2>&1 || skip "no Debian tree could be made; see $work/tree.log"
  touch "$work/tree.whole"
fi

# What the machine itself cannot do is found out here: from now on whatever
# fails is a failure.
mount | grep -q ' type cgroup2 ' || skip "a systemd in a container takes cgroup2, which is not mounted"
nspawn_runs() {
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout 60 systemd-nspawn -q -D "$work/tree" --machine="wb-$$" \
    --register=no --keep-unit --private-network --resolv-conf=off --timezone=off --link-journal=no \
    --pipe /bin/true < /dev/null > "$work/nspawn.log" 2>&1
}
nspawn_runs || skip "systemd-nspawn cannot run /bin/true here; see $work/nspawn.log"

passed=0 failed=0 nspawn='' leader=''
. tests/packages/machine.sh
. tests/packages/checks.sh

rm -f "$work"/*.deb "$work"/*.rpm
# The version before: the same program with another number, and with another
# configuration, so that an upgrade has to decide between it and an edited one.
before=$work/before.toml
sed '1i # The file of the version before.' packaging/weather-balloon.toml > "$before"
for kind in ${KINDS:-deb rpm}; do
  first=$(VERSION=0.0.9 CONFIG=$before packaging/build.sh "$kind")
  second=$(packaging/build.sh "$kind")
  packaging/lint.sh "$second" # teeth: a file of mode 0666, a script without set -e
  cp "$first" "$work/first.$kind"
  cp "$second" "$work/second.$kind"
  size "$second" # teeth: a program that is not stripped
done
# teeth: a dependency that is linked for a newer glibc; see check-glibc.sh

trap power_off EXIT
for kind in ${KINDS:-deb rpm}; do
  if boot "$kind"; then
    "prepare_$kind"
    all_checks "$kind"
    power_off
  else
    failed=$((failed + 1))
    echo "FAIL $kind: the system boots; see $work/console-$kind.log"
  fi
done
echo "test-packages took $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "test-packages: $passed passed, $failed failed"
[ "$failed" = 0 ]
