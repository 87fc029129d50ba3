#!/bin/sh
# The linter: gofmt, go vet, the fences and file rules of .ci/lint, staticcheck. It runs them all, then says whether
# anything was found.
cd "$(dirname "$0")/.." || exit 2
found=0

unformatted=$(gofmt -l $(find . -name '*.go' -not -path './.cache/*'))
if [ -n "$unformatted" ]; then
  echo "$unformatted" | sed 's/$/: not gofmt-ed/'
  found=1
fi
go vet ./... || found=1
go test ./.ci/lint || found=1
go run ./.ci/lint || found=1
go tool -modfile=.ci/tools/go.mod staticcheck ./... || found=1
exit $found
