#!/bin/bash
# Takes one thing away at a time (a sync, a check, an order: prove/mutations/)
# in a copy of the tree, runs the test that ought to see it, and expects red.
# With names: only these. Prints a table, and fails where a test stays green.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=$PWD/target/mutants
export CARGO_TARGET_DIR=$tree/target
CARGO=${CARGO:-cargo}
mkdir -p target/prove "$tree/src"
rows=target/prove/mutations.txt
: > "$rows"

# What the dependencies were built to is used again: hard links, as cargo never
# writes into such a file.
if [ ! -e "$CARGO_TARGET_DIR" ] && [ -e target/debug/deps ]; then
  mkdir -p "$CARGO_TARGET_DIR/debug"
  cp -al target/debug/deps target/debug/build target/debug/.fingerprint "$CARGO_TARGET_DIR/debug/"
fi

failed=0
for patch in prove/mutations/*.patch; do
  name=$(basename "$patch" .patch)
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
    continue
  fi
  mapfile -t words < <(sed -n 's/^Test: //p' "$patch" | tr ' ' '\n')
  # The times of unchanged files stay, so that only what is mutated is built.
  tar -c --exclude=./target --exclude=./fuzz/target --exclude=./.git . | tar -x -C "$tree/src"
  patch --quiet --strip 1 --directory "$tree/src" < "$patch"
  sed -n 's/^+++ b\///p' "$patch" >> "$tree/mutated"
  # Also what the last one mutated: by its old time it would seem to be built.
  (cd "$tree/src" && xargs touch < "$tree/mutated")
  began=$SECONDS
  outcome=green
  log=target/prove/mutation-$name.log
  if ! (cd "$tree/src" && $CARGO test --locked --no-run "${words[@]:0:2}") > "$log" 2>&1; then
    outcome='does not build'
  elif ! (cd "$tree/src" && timeout 900 $CARGO test --locked "${words[@]}") >> "$log" 2>&1; then
    outcome=red
  fi
  [ "$outcome" = red ] || failed=1
  printf '%s\t%s\t%s\t%s\t%s s\n' "$name" "$(sed -n 's/^Invariants: //p' "$patch")" \
    "${words[*]}" "$outcome" "$((SECONDS - began))" | tee -a "$rows"
done
printf '\n'
column -t -s $'\t' "$rows"
exit "$failed"
