#!/usr/bin/env bash
# Builds the fuzz targets with clang's libFuzzer and runs each of them for a while, one on each processor.
#
#   toolchains/fuzz.sh                     a minute each
#   toolchains/fuzz.sh 3600                an hour each
#   toolchains/fuzz.sh 300 gguf rill_file  only these
#
# Begins with tests/fuzz/corpus and goes on with what earlier runs found, in build/fuzz/corpus. An input that breaks a
# promise is left in build/fuzz/findings, and the script fails: mend the bug, put the input (made small with
# -minimize_crash=1) into tests/fuzz/corpus/TARGET, and it is a test. What each target took of a processor's time is
# printed, as a busy machine gives less than it was asked for, and added up in build/fuzz/totals.

# shellcheck source=toolchains/prelude.sh
. "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"
help_if_asked "$@"
seconds=${1:-60}
[ $# -eq 0 ] || shift
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail 2 "fuzz.sh: seconds: $seconds, expected a whole number; see toolchains/fuzz.sh --help"
cd "$root"
if [ $# -eq 0 ]; then
  for folder in tests/fuzz/corpus/*; do set -- "$@" "$(basename "$folder")"; done
fi
for target in "$@"; do
  [ -d "tests/fuzz/corpus/$target" ] || fail 2 "fuzz.sh: there is no target $target; tests/fuzz/corpus has a folder for each"
done

"$tools/install-packages.sh" build test tooling
cmake --preset fuzz --log-level=WARNING >/dev/null
cmake --build build/fuzz --target fuzzers >&2

TMPDIR=$root/build/fuzz/tmp
export TMPDIR
export UBSAN_OPTIONS=print_stacktrace=1
mkdir -p "$TMPDIR" build/fuzz/findings build/fuzz/logs

# Limits: 10 s and 1 GiB for an input of at most 128 KiB, and no single allocation above 256 MiB.
hunt() {
  local target=$1 log=build/fuzz/logs/$1.log status=0 runs coverage took
  local seeds=("tests/fuzz/corpus/$target")
  mkdir -p "build/fuzz/corpus/$target"
  [ "$target" != config_json ] || seeds+=(tests/data/configs)
  TIMEFORMAT="%U %S"
  took=$({ time "build/fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -max_len=131072 -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" \
    "build/fuzz/corpus/$target" "${seeds[@]}" >"$log" 2>&1; } 2>&1) || status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  took=$(awk '{ printf "%.0f", $1 + $2 }' <<<"$took")
  echo "$target: ${runs:-?} executions in $took s of a processor, ${coverage:-?} edges$(
    [ "$status" -eq 0 ] || echo ", FAILED: see $log")"
  echo "$target ${runs:-0} $took ${coverage:-0}" >>build/fuzz/totals
  return "$status"
}
export -f hunt
export seconds
status=0
# shellcheck disable=SC2016  # the inner shell expands it
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'hunt "$1"' hunt || status=$?
rm -rf "$TMPDIR"
[ "$status" -eq 0 ] || fail 1 "fuzz.sh: findings; the inputs are in build/fuzz/findings"
