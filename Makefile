# The two commands are `make run` and `make check`. Each target installs what it needs on Debian or Ubuntu, as root.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build run check format vet test fuzz drill bugs bench

# The same sources give the same bytes: no paths, no version control stamps, no build id. The version is in cmd/strandline/VERSION.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid='
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
RACE = $$(go list ./... | grep -v '^strandline/cmd')

# build makes the static binary bin/strandline.
build:
	@.ci/need go golang-go
	$(BUILD) -o bin/strandline ./cmd/strandline

# run serves on 127.0.0.1:8080 and HTTPS on 8443 with its data in ./data, and fills a small study at first start.
run: build
	bin/strandline serve --data data --listen 127.0.0.1:8080 --listen-tls 127.0.0.1:8443 --demo

# check is what CI runs.
check: format vet fuzz test

format:
	@.ci/need go golang-go
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }

vet:
	go vet ./...
	go vet -tags bugs ./cmd/bugs
	$(STATICCHECK) ./...

# fuzz throws inputs at every decoder for a few seconds each.
fuzz:
	.ci/fuzz $${FUZZTIME:-4s}

# test runs the packages with the race detector, then the program as a whole without it. The figures of drills are shown.
FIGURES := grep --line-buffered -vE '^ *(=== |--- PASS|--- SKIP|PASS$$)'
test:
	@.ci/need gcc gcc libc6-dev
	@.ci/need node nodejs
	@.ci/need npm npm
	@.ci/need redis-server redis-server
	@[ "$$(id -u)" != 0 ] || .ci/need mkfs.ext4 e2fsprogs # others cannot mount, and skip the power cut
	CGO_ENABLED=1 go test -race -v -timeout 15m $(RACE) | $(FIGURES)
	go test -count=1 -v -timeout 15m ./cmd/... | $(FIGURES)

# drill runs the long forms of the drills: crashes, faults, races and the ten-minute soak. It takes hours.
drill:
	@.ci/need go golang-go
	@.ci/need node nodejs
	@.ci/need npm npm
	@.ci/need redis-server redis-server
	@[ "$$(id -u)" != 0 ] || .ci/need mkfs.ext4 e2fsprogs # others cannot mount, and skip the power cut
	STRANDLINE_DRILL=long go test -count=1 -v -timeout 6h -p 1 ./... | $(FIGURES)

# bugs puts twenty bugs into the code, one at a time, and shows which test catches each. It takes some ten minutes.
bugs:
	@.ci/need go golang-go
	go test -tags bugs -count=1 -timeout 1h -v -run 'TestBugs$$' ./cmd/bugs | $(FIGURES)

# bench prints the figures and their targets. Run it on a quiet machine.
bench:
	@.ci/need go golang-go
	STRANDLINE_BENCH=1 go test -count=1 -timeout 2h -p 1 -v -run 'Bench' -bench . -benchtime 2s ./...
