#!/bin/bash
# Installs what the tests and the demo use and this machine lacks. Says nothing
# and asks nobody when all is there. No service is started: the tests and the
# demo start their own, as children, on spare ports.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  binutils ca-certificates curl gcc iproute2 iputils-ping libc6-dev patch python3 python3-venv util-linux
  nagios4-core nagios4-common monitoring-plugins-basic
  nagios-nrpe-server nagios-nrpe-plugin
  graphite-carbon graphite-web gunicorn
  postgresql-15
  slapd ldap-utils
  python3-keystone
  strace
  thrift-compiler
  chromium
)
command -v node > /dev/null || packages+=(nodejs)
command -v npm > /dev/null || packages+=(npm)

die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

lacking() {
  local package
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done
}

command -v cargo > /dev/null ||
  die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (rustup.rs)"
command -v dpkg-query > /dev/null && command -v apt-get > /dev/null ||
  die "this is not Debian; install by hand what stands for: ${packages[*]}"

mkdir -p target
exec 9> target/install.lock
flock 9

mapfile -t missing < <(lacking)
if [ "${#missing[@]}" -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null ||
      die "run as root, or install: apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  printf 'installing: %s\n' "${missing[*]}"

  # Debian starts what it installs, unless this file says no.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  log=target/install.log
  {
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 update &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 \
        install --yes --no-install-recommends "${missing[@]}"
  } > "$log" 2>&1 < /dev/null || { tail -n 20 "$log" >&2; die "apt-get failed; the whole of it is in $log"; }
fi

if [ -e tests/install-clients.sh ]; then
  bash tests/install-clients.sh
fi
