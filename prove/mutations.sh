#!/bin/bash
# Takes one thing away at a time (a sync, a check, an order: prove/mutations/),
# runs the test that ought to see it, and expects red: the test fails and says
# what a line "Sees:" of the patch has, so that no other fault is taken for it.
# With names: only these. Prints a table, and fails where a test stays green or
# is red for another reason.
#
# All patches go into one copy of the tree, which is built once. Each asks
# is_mutant() whether it is its turn: a file of the copy says whose turn it is.
# First it is nobody's, and all those tests are green.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=$PWD/target/mutants
export CARGO_TARGET_DIR=$tree/target
# Some wait in vain for what was taken away.
export TEST_PATIENCE=${TEST_PATIENCE:-60}
CARGO=${CARGO:-cargo}
kept=target/prove
rows=$kept/mutations.txt
rm -rf "$tree/src"
mkdir -p "$kept" "$tree/src"
: > "$rows"

wanted() {
  local patch name
  for patch in prove/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# = 0 ] || [[ " $* " == *" $name "* ]]; then
      printf '%s\n' "$name"
    fi
  done
}

# A line of a patch's head.
told() {
  sed -n "s/^$2: //p" "prove/mutations/$1.patch"
}

# What the dependencies were built to is used again: hard links, as cargo never
# writes into such a file.
if [ ! -e "$CARGO_TARGET_DIR" ] && [ -e target/debug/deps ]; then
  mkdir -p "$CARGO_TARGET_DIR/debug"
  cp -al target/debug/deps target/debug/build target/debug/.fingerprint "$CARGO_TARGET_DIR/debug/"
fi
tar -c --exclude=./target --exclude=./fuzz/target --exclude=./.git . | tar -x -C "$tree/src"
cat >> "$tree/src/src/lib.rs" << 'RUST'

pub fn is_mutant(name: &str) -> bool {
    static TURN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let turn = || std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/turn")).unwrap();
    TURN.get_or_init(turn) == name
}
RUST
for patch in prove/mutations/*.patch; do
  patch --quiet --fuzz 0 --no-backup-if-mismatch --strip 1 --directory "$tree/src" < "$patch"
done
# By its old time a file that was mutated before would seem to be built.
touch "$tree/src/src/lib.rs"

mapfile -t names < <(wanted "$@")
mapfile -t files < <(for name in "${names[@]}"; do told "$name" Test; done |
  sed -E 's/^(--test [a-z_]+|--lib).*/\1/' | sort -u | tr ' ' '\n')
printf '== building %s\n' "${files[*]}"
began=$SECONDS
(cd "$tree/src" && $CARGO test --locked --quiet --no-run "${files[@]}")
printf '== built in %s s\n' "$((SECONDS - began))"

# The test of a patch, in its own or nobody's turn.
try() {
  local words
  mapfile -t words < <(told "$1" Test | tr ' ' '\n')
  printf '%s' "$2" > "$tree/src/turn"
  (cd "$tree/src" && timeout 900 "$CARGO" test --locked "${words[@]}")
}

failed=0
row() {
  printf '%s\t%s\t%s\t%s\t%s s\n' "$@" | tee -a "$rows"
}

declare -A sound
for name in "${names[@]}"; do
  began=$SECONDS
  log=$kept/mutation-$name.log
  of=$(told "$name" Test)
  sees=$(told "$name" Sees)
  outcome=green
  if [ -z "${sound[$of]:-}" ]; then
    sound[$of]=yes
    try "$name" '' > "$log" 2>&1 || sound[$of]=no
  fi
  if [ "${sound[$of]}" = no ]; then
    outcome='red without it'
  elif ! try "$name" "$name" > "$log" 2>&1; then
    outcome='red for another reason'
    if [ -n "$sees" ] && grep -aqF -- "$sees" "$log"; then
      outcome=red
    fi
  fi
  [ "$outcome" = red ] || failed=1
  row "$name" "$(told "$name" Invariants)" "$of" "$outcome" "$((SECONDS - began))"
done
printf '\n'
column -t -s $'\t' "$rows"
exit "$failed"
