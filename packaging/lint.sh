#!/bin/bash
# Fails on any error or warning of lintian or rpmlint that no override explains.
#
# usage: packaging/lint.sh PACKAGE...
set -euo pipefail
cd "$(dirname "$0")/.."
for package in "$@"; do
  case $package in
    *.deb) lintian --allow-root --fail-on error,warning "$package" ;;
    *.rpm)
      said=$(rpmlint -c packaging/rpm/rpmlint.toml "$package" 2>&1) || true
      grep -q ' 0 errors, 0 warnings' <<< "$said" || { printf '%s\n' "$said" >&2; exit 1; }
      ;;
  esac
done
