#!/usr/bin/env bash
# Every test with the race detector. The detector of Go 1.26 itself crashes now and then under testing/synctest
# (golang/go#78156), in about one run in thirty of package gpu: a package that this has ended, and nothing else, is run
# again, twice at most. Any other failure stands.
set -uo pipefail
crashed=$(mktemp)
trap 'rm -f "$crashed"' EXIT

run() { # packages; leaves those that crashed in $crashed, and fails where anything else failed
  : >"$crashed"
  "${GO:-go}" test -race -timeout 15m "$@" 2>&1 | awk -F'\t' -v list="$crashed" '
    /^ThreadSanitizer: CHECK failed: tsan_rtl.cpp/ { crash = 1 }
    /^--- FAIL|^ *--- FAIL|WARNING: DATA RACE|^panic:/ { fault = 1 }
    $1 == "FAIL" && NF > 1 && crash && !fault { print $2 >list; print "crash\t" $2 "\tof the race detector: run again"; crash = 0; next }
    $1 == "FAIL" { if (NF > 1) failed = 1; if (NF == 1) next }
    $1 == "ok" || $1 == "FAIL" || $1 == "?" { crash = fault = 0 }
    { print; fflush() }
    END { exit failed }'
  local codes=("${PIPESTATUS[@]}")
  # go test fails for a crash too; where none was seen, its word stands.
  [ "${codes[1]}" -eq 0 ] && { [ "${codes[0]}" -eq 0 ] || [ -s "$crashed" ]; }
}

run "$@" || exit 1
for _ in 1 2; do
  [ -s "$crashed" ] || exit 0
  mapfile -t again <"$crashed"
  run "${again[@]}" || exit 1
done
[ ! -s "$crashed" ]
