# Every target runs from a fresh clone with nothing but Go and make.

SHELL   := /bin/bash
GO      ?= go
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(shell test -z "$$(git status --porcelain 2>/dev/null)" || echo -dirty)
LDFLAGS := -s -w -X spillway/internal/cli.commit=$(COMMIT)
BIN     := bin/spillway
TOOL     = $(GO) tool -modfile=internal/tools/go.mod
SEED    ?= 1
IMAGES  ?= app redis postgres nginx prometheus
REAL     = ./reference/...
ARGS    ?=
# Settings of the deployment and of the rush against it, as in SETTINGS="--set gateway.native=on".
SETTINGS ?=
export SPILLWAY_SETTINGS = $(SETTINGS)
SCHEDULES ?= 100000
# make up DISK=bounded: the database's disk is one that a fault can fill, docker/bounded.yaml.
DISK    ?=
# The compose of the Docker here: the engine's own plug-in, or the older program.
COMPOSE  = $$(docker compose version > /dev/null 2>&1 && echo docker compose || echo docker-compose) -p spillway --env-file bin/deployment.env -f docker/compose.yaml $(DISK:%=-f docker/%.yaml)

# How the deployment is reached: its secrets in the environment, and the flags.
DEPLOYED = set -a && . bin/deployment.env && SPILLWAY_REDIS=redis://127.0.0.1:16379/0 && \
  SPILLWAY_DB="postgres://spillway:$$SPILLWAY_DB_PASSWORD@127.0.0.1:15432/spillway?sslmode=disable" && set +a
TARGET   = --target http://127.0.0.1:18080 --admin-url http://127.0.0.1:18081 --deployment spillway

.PHONY: help build spike lottery test sweep layers sim plan validate scales chaos chaos-long smoke bench fuzz check second-machine images test-real bench-real up down spike-real chaos-real curve soak check-deployment clean lottery-versus test-browser

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

build: ## build bin/spillway
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

spike: build ## the opening rush, the same without the layers, a short sweep; one report, about three minutes
	@$(BIN) spike --seed $(SEED) $(ARGS)

sweep: build ## the grid of admission probability and queue depth, on scarce and on ample stock; under ten minutes
	@$(BIN) sweep suikang-sweep suikang-ample-stock --scale 1:500 --time 5 --set window.from=-2s --set window.to=33s \
	  --vary admission.probability=5%,20%,50%,100% --vary queue.depth=2000,10000,20000,40000 --seeds 2 --seed $(SEED) $(ARGS)

layers: build ## the same rush with one layer switched off at a time, as it stands and with the gate opened
	@$(BIN) sweep suikang-sweep suikang-gate-opened --scale 1:500 --time 5 --set window.from=-2s --set window.to=33s \
	  --layers --seed $(SEED) $(ARGS)

sim: build ## the whole evening simulated, 18:00 to 24:00, every one of 170 million visits by itself
	@$(BIN) sim --seed $(SEED) $(ARGS)

plan: build ## the fewest servers that hold the evening, by simulation; some seconds
	@$(BIN) plan --find servers --seed $(SEED) $(ARGS)

validate: build ## calibrate on a short attack, predict other points, measure them, compare the scales; under three minutes
	@$(BIN) validate --seed $(SEED) $(ARGS)

scales: build ## one scenario at 1:1, 1:100, 1:1000 and at the attack's scale, simulated; one figure
	@$(BIN) scales --seed $(SEED) $(ARGS)

lottery-versus: build ## the grab evening beside the lottery day on the same people: load, servers, who wins; under five minutes
	@$(BIN) lottery versus --seed $(SEED) $(ARGS)

chaos: build ## the rush under each fault in turn: what was lost (must read 0), and how long it took to recover; under ten minutes
	@$(BIN) chaos --seed $(SEED) $(ARGS)

lottery: build ## the draw of 19 February 2020 on made-up people: 2,629,006 entries, 100,237 winners; sealed, drawn, verified, judged, one report
	@$(BIN) lottery rehearse --seed $(SEED) $(ARGS)

soak: build ## half an hour near 70 % of capacity with a fault every minute: what grows, and does not come back
	@$(BIN) attack soak --seed $(SEED) $(ARGS)

smoke: build ## a ten-second rush, for CI
	@$(BIN) attack smoke --seed $(SEED) $(ARGS)

test: ## the whole test suite
	$(GO) test -count=1 -timeout 15m ./...

chaos-long: ## SCHEDULES (100,000) seeded schedules of crashes and faults, several hours; a failing seed prints its replay
	nice $(GO) test ./reference/crashtest -count=1 -timeout 0 -run 'Test(Lottery)?Schedule$$' -schedules $(SCHEDULES) -from $(SEED) -v

bench: ## every benchmark, with its ratios
	$(GO) test -run '^$$' -bench . -benchmem ./...

FUZZTIME ?= 30s

fuzz: ## every fuzz target, thirty seconds each (FUZZTIME=5s for less)
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; done; done

# The race detector passes over packages without tests, and over those in which nothing
# runs beside anything else; internal/walls holds these to it.
ALONE = internal/booking internal/draw internal/fault internal/policy internal/record internal/record/recordtest reference/admission reference/lottery/beacon reports reports/fairness reports/gate reports/page reports/plot scenarios
RACED = $(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep -vxF "$$(printf 'spillway/%s\n' $(ALONE))"
BENCHED = git grep -l '^func Benchmark' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's,^,./,'

# Compilers and tests spend up to a quarter of their time collecting garbage, and what
# only a debugger reads takes a sixth of what everything costs to compile for the race detector.
check: export GOGC = 400
check: ## what a change must also pass: vet, staticcheck, race, every benchmark once, tidy, clean tree
	$(GO) vet -tags real,browser ./...
	$(TOOL) staticcheck ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod tidy -diff
	set -o pipefail; packages=$$($(RACED)) && $(GO) test -count=1 -short -race -vet=off -gcflags=all=-dwarf=false -timeout 15m $$packages
	set -o pipefail; packages=$$($(BENCHED)) && $(GO) test -run '^$$' -vet=off -bench . -benchtime 1x -short $$packages > /dev/null
	@test -z "$$(git status --porcelain)" || { echo "the tree is not clean after the checks:"; git status --short; exit 1; }

second-machine: ## the simulator's digests on another architecture (arm64, emulated by qemu-user) and with fused multiply-adds allowed
	@d=$$(mktemp -d) && trap 'rm -rf "$$d"' EXIT && \
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -c -o $$d/sim.arm64 ./sim && cd sim && qemu-aarch64 $$d/sim.arm64 -test.v -test.run TestGoldenDigests
	GOAMD64=v3 $(GO) test -count=1 -run TestGoldenDigests ./sim

images: build ## the images of the program, Redis, PostgreSQL, nginx and Prometheus: pulled, or made from Debian's packages
	@docker/images.sh $(IMAGES)

test-real: ## container tests on real Redis, Redis Cluster and PostgreSQL; they want "make images" first
	$(GO) test -count=1 -timeout 10m -tags real -run '^TestReal' $(ARGS) $(REAL)

test-browser: ## the lottery's console in a headless Chromium; SPILLWAY_SCREENSHOTS=DIR keeps pictures
	$(GO) test -count=1 -timeout 10m -tags browser -run '^TestBrowser' $(ARGS) ./internal/cli

bench-real: ## submits/s on real Redis, rows/s on real PostgreSQL with fsync on
	$(GO) test -count=1 -timeout 10m -tags real -run '^$$' -bench '^BenchmarkReal' $(ARGS) $(REAL)

up: images bin/deployment.env ## the deployment: edge on 127.0.0.1:18080, sixteen gateways, two writers, Redis, PostgreSQL, Prometheus on 127.0.0.1:19090
	@$(COMPOSE) up -d --remove-orphans
	@docker/ready.sh

check-deployment: bin/deployment.env ## the deployment's files: compose, nginx, Prometheus, its rules and their unit tests; they want "make images" first
	@$(COMPOSE) config --quiet && $(COMPOSE) -f docker/bounded.yaml config --quiet
	@sed 's/CACHE_KEY/uri/; s/stderr/\/tmp\/log/' docker/edge/nginx.conf | docker run --rm -i --network none --user 65532 --tmpfs /tmp nginx:1 sh -c 'cat > /tmp/nginx.conf && nginx -t -q -c /tmp/nginx.conf'
	@for what in "check config prometheus.yml" "test rules rules.test.yml"; do \
	  docker run --rm --network none --entrypoint promtool --volume $(CURDIR)/docker/prometheus:/files:ro --workdir /files prometheus:2 $$what || exit 1; done

down: bin/deployment.env ## stop the deployment and remove its containers, networks and volumes
	@$(COMPOSE) down --remove-orphans --timeout 5 || docker/left.sh
	@docker volume ls --quiet --filter label=com.docker.compose.project=spillway | xargs --no-run-if-empty docker volume rm > /dev/null

bin/deployment.env: # secrets of this deployment, made by chance
	@mkdir -p bin && umask 077 && for name in SPILLWAY_SECRET SPILLWAY_ADMIN_TOKEN SPILLWAY_DB_PASSWORD; do \
	  echo "$$name=$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"; done > $@

# Two dozen containers beside the generator on two cores: at 1:100 its lateness p99 is
# 4.9 ms of the 5 allowed, at 1:200 2.9 ms.
spike-real: SETTINGS := $(or $(SETTINGS),--scale 1:200)
spike-real: down up ## the opening rush against a fresh deployment, its report, and the books of its database
	@$(DEPLOYED) && $(BIN) attack --seed $(SEED) $(TARGET) $(SETTINGS) $(ARGS)

chaos-real: ## the rush under each fault on the containers of a fresh deployment; about fifteen minutes
	@$(MAKE) --no-print-directory down && SPILLWAY_SCENARIO=chaos $(MAKE) --no-print-directory up DISK=bounded
	@$(DEPLOYED) && $(BIN) chaos --seed $(SEED) $(TARGET) $(SETTINGS) $(ARGS)

curve: build bin/deployment.env ## accepted submits/s through 1 to 16 gateway processes on the deployment's Redis and PostgreSQL, one figure
	@$(MAKE) --no-print-directory down && $(COMPOSE) up -d redis database
	@for i in $$(seq 30); do $(COMPOSE) exec -T database pg_isready --quiet --host 127.0.0.1 && break; sleep 1; done
	@$(DEPLOYED) && $(BIN) curve $(ARGS); code=$$?; $(MAKE) --no-print-directory down; exit $$code

clean: ## remove what was built and written
	rm -rf bin reports/out
