# The two commands are `make demo` and `make test`. Everything else is for whoever works on Earshot.
GO     ?= go
PYTHON ?= python3
export GO
export EARSHOT_CACHE ?= $(CURDIR)/.cache

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := build
.PHONY: help setup setup-tests build test lint demo bench soak models schema sample clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

setup: ## libonnxruntime and ffmpeg into the cache folder, checked by sha256
	@.ci/setup.sh

setup-tests: setup
	@.ci/nginx.sh

build: setup ## bin/earshot
	@$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/earshot ./cmd/earshot

test: setup-tests ## every test, with the race detector
	@.ci/test.sh ./...

lint: ## vet, gofmt, staticcheck, and the fences of docs/architecture.md
	@.ci/lint.sh

demo: build ## the main job on the sample feed, into demo-out/
	@bin/earshot demo --out demo-out

bench: build ## speed and memory, as ratios, into docs/benchmarks.md (an hour; the rivals are 1.5 GB of packages)
	@$(PYTHON) .ci/bench/report.py

soak: build ## the tests of faults, malformed inputs and load, many times over (an hour; docs/reliability.md)
	$(GO) test -race -timeout 60m -count=1 -run Kill ./cmd/earshot -kills=500
	$(GO) test -race -timeout 60m -count=1 -v -run 'TestServicesAndWorkersMayFail|TestElasticsearchMayStop|TestTakenDownStaysDown|TestClocksMayJump' ./cmd/earshot \
	  -fault.kills=5 -fault.points=0 -fault.outage=60s -fault.episodes=24
	$(GO) test -race -timeout 60m -count=1 -v -run 'TestServicesAndWorkersMayFail/kill_-9_at_random' ./cmd/earshot -fault.kills=200 -fault.memory
	$(GO) test -timeout 60m -count=1 -v -run TestLoad ./cmd/earshot -load.episodes=2000 -load.stand-in=300ms
	$(GO) test -race -timeout 30m -count=1 -v -run MalformedInputs ./cmd/earshot -malformed=10000

models: ## trains the built-in models again (hours on two cores)
	@PYTHON=$(PYTHON) models/train/all.sh .cache/train

schema: ## Go code of deploy/schema's .proto files; RELEASE=v1.1 keeps them as that version, which later ones may not break
	@$(GO) run ./deploy/schema/generate -release "$(RELEASE)"

sample: ## makes the sample feed again
	@$(PYTHON) sample/make/make.py

clean: ## all that was built; the cache folder stays
	rm -rf bin demo-out bench-out
