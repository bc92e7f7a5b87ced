#!/bin/sh
# Installs what the tests call the doors with: Thrift clients of other languages,
# what drives a browser and looks for faults of a page, a reader of what
# Prometheus reads, and moto, which answers as EC2 does. Quick when they are
# there.
#
# usage: tests/install-clients.sh [DIRECTORY]     default: target/clients
set -eu

PYTHON_PACKAGES="thrift==0.25.0 thriftpy2==0.7.1 prometheus_client==0.23.1 schemathesis==4.32.5"
NODE_PACKAGES="thrift@0.24.0 axe-core@4.14.1 playwright-core@1.65.1"
MOTO_PACKAGES="moto[server,ec2,iam]==5.2.5"

dir=${1:-$(dirname "$0")/../target/clients}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
wanted="$PYTHON_PACKAGES $NODE_PACKAGES $MOTO_PACKAGES"

if [ "$(cat "$dir/installed" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
rm -rf "$dir/python" "$dir/moto" "$dir/node" "$dir/installed"
# Debian's own, which others that are in the PATH may hide.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -m venv "$dir/python"
# The names are meant to be split.
# shellcheck disable=SC2086
"$dir/python/bin/pip" install --quiet --disable-pip-version-check $PYTHON_PACKAGES
# Apart from the others: it brings many packages of its own.
"$python" -m venv "$dir/moto"
# shellcheck disable=SC2086
"$dir/moto/bin/pip" install --quiet --disable-pip-version-check $MOTO_PACKAGES
mkdir -p "$dir/node"
# shellcheck disable=SC2086
npm install --silent --no-audit --no-fund --no-package-lock --prefix "$dir/node" $NODE_PACKAGES
echo "$wanted" > "$dir/installed"
