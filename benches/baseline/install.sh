#!/bin/bash
# What server.py needs, into target/clients/baseline.
set -euo pipefail
cd "$(dirname "$0")/../.."
place=target/clients/baseline
wanted="thrift==0.25.0 requests==2.34.2"

mkdir -p "$place/generated"
thrift --gen py -out "$place/generated" thriftfiles/hosts.thrift
[ "$(cat "$place/installed" 2> /dev/null)" = "$wanted" ] && exit 0
rm -rf "$place/venv"
/usr/bin/python3 -m venv "$place/venv"
# shellcheck disable=SC2086
"$place/venv/bin/pip" install --quiet --disable-pip-version-check $wanted
printf '%s\n' "$wanted" > "$place/installed"
