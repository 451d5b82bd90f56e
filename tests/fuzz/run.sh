#!/usr/bin/env bash
# Runs one target over its corpus and over what libFuzzer makes of it.
#   run.sh TARGET RUNS [OPTION…]                         RUNS inputs, seeded
#   BERTH_FUZZ_SECONDS=S run.sh TARGET RUNS [OPTION…]    as many as there is time for
# found/NAME/ beside the target keeps inputs that broke something, and, of the second form, those that reached new code, for the
# next time, and its row of the table in README.md.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
target=$1 runs=$2
shift 2
name=$(basename "$target") && name=${name#fuzz_}
found=$(dirname "$target")/found/$name
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
limit=-runs=$runs grown=$temporary/corpus log=$temporary/log
if [ -n "${BERTH_FUZZ_SECONDS:-}" ]; then
  limit=-max_total_time=$BERTH_FUZZ_SECONDS grown=$found/corpus
fi
mkdir -p "$found" "$grown"

options=("$limit" -seed=1 -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 "-artifact_prefix=$found/")
export TMPDIR=${TMPDIR:-/dev/shm}
export ASAN_OPTIONS=quarantine_size_mb=16:allocator_may_return_null=1 LSAN_OPTIONS=suppressions=$here/leaks.txt:print_suppressions=0
fixed=()
if setarch -R true 2>/dev/null; then
  fixed=(setarch -R)  # libFuzzer tells comparisons apart by addresses, which are the same then
fi
began=$SECONDS status=0
"${fixed[@]}" "$target" "${options[@]}" "$@" "$grown" "$here/corpus/$name" >"$log" 2>&1 || status=$?
[ $status = 0 ] || sed -n '/ERROR\|runtime error\|does not hold\|terminate called/,$p' "$log"
executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
covered=$(sed -nE 's/^#[0-9]+.* cov: ([0-9]+) ft: ([0-9]+) .*/\1 | \2/p' "$log" | tail -n 1)
echo "| $name | $executed | $((SECONDS - began)) | $covered |" | tee "$found/row"
exit $status
