# make test   everything that must hold, in a short form; installs what the tests need
# make soak   the long forms
# make help   all targets
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO      ?= go
BIN     := $(CURDIR)/.cache/bin
NEED    := age zstd sqlite3 attr iproute2 e2fsprogs procps python3 python3-django python3-psycopg2 gcc jq openssl xxd npm prometheus \
           mariadb-server-core mariadb-client-core redis-server
PARALLEL ?= 2
# What the rings share: no network proxy between tests and their own servers, tools found, no skips.
RING    := PATH="$(BIN):$$PATH" BACKSTAY_NEED_SERVERS=1 BACKSTAY_BIN="$(BIN)"
# Under the race detector: what has goroutines and little to compile. Whoever changes app runs make race RACE=./internal/app/...
RACE    := ./internal/agent/... ./internal/archive/... ./internal/atomicfile/... ./internal/cluster/keeper/... ./internal/ledger/... ./internal/lease/mem/... \
           ./internal/peer/... ./internal/proxy ./internal/recovery/... ./internal/schedule/... ./internal/scratch/... ./internal/spool/... ./internal/watch/...

.PHONY: help build test ring-crash ring-failover race lint vet staticcheck cross script crash ha bench fuzz soak docs tools servers packages clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

build: ## build bin/backstay
	$(GO) build -trimpath -o bin/backstay ./cmd/backstay

test: packages fmt vet tools servers ## every ring of tests, the long ones in a short form
	$(RING) $(GO) test -vet=off -p $(PARALLEL) -count=1 -timeout 25m . ./cmd/... ./internal/... ./docs/... ./test/script/... ./test/django/... ./test/ha/check ./test/ha/lab
	$(MAKE) --no-print-directory -j 2 -O ring-crash ring-failover
	$(RING) $(GO) test -vet=off -p 1 -count=1 -timeout 5m -run '^TestBriefly$$' ./test/ha
	$(MAKE) --no-print-directory staticcheck cross race

ring-crash:
	$(RING) $(GO) test -vet=off -p 1 -count=1 -timeout 30m ./test/crash/...

ring-failover:
	$(RING) $(GO) -C failover test -p 1 -count=1 -timeout 10m ./...

fmt:
	@bad=$$(gofmt -l cmd failover internal test docs *.go); if [ -n "$$bad" ]; then echo "gofmt: $$bad"; exit 1; fi

vet:
	$(GO) vet ./...
	$(GO) -C failover vet ./...

staticcheck: $(BIN)/staticcheck
	$(BIN)/staticcheck ./...
	cd failover && $(BIN)/staticcheck ./...

cross: ## the binary and the module for applications without cgo, for every system; unoptimised where it is only to compile
	for dir in . failover; do CGO_ENABLED=0 $(GO) -C $$dir build -o /dev/null ./... || exit 1; \
	  for os in darwin windows; do CGO_ENABLED=0 GOOS=$$os $(GO) -C $$dir build -gcflags=all='-N -l' -o /dev/null ./... || exit 1; done; done

race: ## the quick rings under the race detector
	$(RING) $(GO) test -race -vet=off -p $(PARALLEL) -count=1 -short -timeout 15m $(RACE)

script: ## transcripts of the whole binary
	$(RING) $(GO) test -count=1 ./test/script/...

crash: ## kill at every named step, fail every storage call
	$(RING) $(GO) test -count=1 -v -timeout 30m ./test/crash/...

ha: ## a cluster of real processes that is killed, frozen and cut off; BACKSTAY_HA_ONLY and BACKSTAY_HA_ROUNDS choose
	$(RING) $(GO) test -p 1 -count=1 -v -timeout 6h ./test/ha/...

bench: tools ## side by side with the peers, as ratios
	$(MAKE) -C test/bench

soak: packages tools servers ## the long forms of ring 3 and 4
	$(RING) BACKSTAY_SOAK=1 $(GO) test -p 1 -count=1 -timeout 6h ./internal/... ./test/...

fuzz: ## every fuzz target for a while; FUZZTIME=1m makes it longer
	for pkg in $$(grep -rl --include=*_test.go 'func Fuzz' internal | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE 'func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | sed 's/func //'); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-10s} ./$$pkg; done; done

lint: ## golangci-lint, if it is installed
	golangci-lint run

docs: ## make docs/reference anew
	$(GO) run ./cmd/backstay docs docs/reference

packages: ## install the Debian packages that the tests use
	@missing=; for p in $(NEED); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || command -v $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if ! command -v apt-get >/dev/null; then echo "install these first:$$missing"; exit 1; fi; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; fi
	tools/postgres.sh install

servers: ## unpack the PostgreSQL versions that Debian has no packages of, once
	tools/postgres.sh unpack .cache/postgres

tools: $(BIN)/versitygw $(BIN)/staticcheck ## build the tools that tests start, once

$(BIN)/versitygw: tools/go.mod
	@mkdir -p $(BIN)
	$(GO) -C tools build -o $@ github.com/versity/versitygw/cmd/versitygw

$(BIN)/staticcheck: tools/go.mod
	@mkdir -p $(BIN)
	$(GO) -C tools build -o $@ honnef.co/go/tools/cmd/staticcheck

clean: ## remove what was built
	rm -rf bin .cache dist
