#!/usr/bin/env bash
# Every test with the race detector. The detector of Go 1.26 itself crashes now and then under testing/synctest
# (golang/go#78156), in about one run in thirty of package gpu: a package that this has ended, and nothing else, is run
# again, twice at most. Any other failure stands.
set -uo pipefail
crashed=$(mktemp)
trap 'rm -f "$crashed"' EXIT

pass() { # on what go test prints; notes the packages that crashed, and fails where anything else failed
  local line crash='' fault='' failed=0
  while IFS= read -r line; do
    case $line in
      'ThreadSanitizer: CHECK failed: tsan_rtl.cpp'*) crash=1 ;;
      *'--- FAIL'* | *'WARNING: DATA RACE'* | 'panic:'*) fault=1 ;;
      FAIL) continue ;; # of all: said by this script's own end
      FAIL$'\t'*)
        if [ -n "$crash" ] && [ -z "$fault" ]; then
          line=${line#FAIL$'\t'}
          echo "${line%%$'\t'*}" >>"$crashed"
          line="crash"$'\t'"${line%%$'\t'*}"$'\t'"of the race detector: run again"
        else
          failed=1
        fi
        crash='' fault=''
        ;;
      ok$'\t'* | ok' '* | '?'*) crash='' fault='' ;;
    esac
    printf '%s\n' "$line"
  done
  return $failed
}

run() { # packages
  : >"$crashed"
  "${GO:-go}" test -race -timeout 25m "$@" 2>&1 | pass
  local codes=("${PIPESTATUS[@]}")
  # go test fails for a crash too; where none was seen, its word stands.
  [ "${codes[1]}" -eq 0 ] && { [ "${codes[0]}" -eq 0 ] || [ -s "$crashed" ]; }
}

if ! command -v gcloud >/dev/null; then
  echo "note: no Google Cloud SDK here: the Pub/Sub suites run on the library's in-memory server"
fi
run "$@" || exit 1
for _ in 1 2; do
  [ -s "$crashed" ] || exit 0
  mapfile -t again <"$crashed"
  run "${again[@]}" || exit 1
done
[ ! -s "$crashed" ]
