#!/bin/bash
# Fails when a program needs a newer glibc than the oldest system that we name:
# 2.34 of RHEL 9 (Ubuntu 22.04 has 2.35, Debian 12 has 2.36).
#
# usage: packaging/check-glibc.sh PROGRAM
set -euo pipefail
OLDEST=2.34

needs=$(objdump -T "$1" | grep -o 'GLIBC_[0-9][0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
[ -n "$needs" ] || { echo "check-glibc.sh: $1 names no glibc version" >&2; exit 1; }
newest=$(printf '%s\n%s\n' "$needs" "$OLDEST" | sort -V | tail -n 1)
[ "$newest" = "$OLDEST" ] || {
  echo "check-glibc.sh: $1 needs glibc $needs; systems with $OLDEST could not run it" >&2
  objdump -T "$1" | grep -F "GLIBC_$needs" >&2
  exit 1
}
