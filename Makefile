# make without a target lists the targets.
.DEFAULT_GOAL := help

# The same flags everywhere, so that go build, go test, the benchmarks, the build script of the
# control plane and the builds of the tests share compiled packages.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath)

TOOL := go tool -modfile=tools/go.mod
ASSETS = $$(test/support/controlplane/build.sh)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/isthmus-mesh/isthmus/internal/version.version=$(VERSION)
EXAMPLES := $(patsubst %/,%,$(wildcard examples/*/))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/isthmus and bin/isthmus-controller
	go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

# Tests run with -vet=off, because lint and vet cover all packages. Conformance runs programs of
# another module, so its results are never taken from the cache.
CONFORMANCE := -C test/suites/conformance -vet=off -count 1 -timeout 30m ./...

.PHONY: test
test: verify ## what each change needs: lint, freshness, unit, API server, end-to-end and conformance tests
	KUBEBUILDER_ASSETS=$$(test/support/controlplane/build.sh kubectl) go run ./test/support/slowest -vet=off -timeout 40m ./... -- $(CONFORMANCE)

.PHONY: test-long
test-long: export ISTHMUS_LONG := 1
test-long: test torture order ## make test with more repetitions and random seeds, then torture and order

.PHONY: conformance
conformance: ## follow every declared call through Istio's own translation (the first build takes minutes)
	ISTHMUS_LONG=1 go run ./test/support/slowest $(CONFORMANCE)

.PHONY: e2e
e2e: ## only the end-to-end tests, on real API servers and a real Git server
	KUBEBUILDER_ASSETS=$(ASSETS) go test -timeout 30m -count 1 -v ./test/suites/e2e/...

.PHONY: torture
torture: ## FAULTS=300 random faults over three clusters; the seed is printed, and SEED=n repeats it
	ISTHMUS_FAULTS=$(or $(FAULTS),300) ISTHMUS_SEED=$(SEED) KUBEBUILDER_ASSETS=$(ASSETS) go test -timeout 120m -count 1 -v ./test/suites/torture/...

.PHONY: order
order: ## MOVES=300 random commits over three clusters, none of which may call what is not offered (SEED=n repeats it)
	ISTHMUS_ORDER_MOVES=$(or $(MOVES),300) ISTHMUS_ORDER_SEED=$(SEED) KUBEBUILDER_ASSETS=$(ASSETS) go test -timeout 60m -count 1 -v ./test/suites/order/...

.PHONY: lint
lint: ## run the linters
	$(TOOL) golangci-lint run ./...

.PHONY: generate
generate: build ## rewrite what is generated: deepcopy, CRD, roles, Istio's schemas, vendored modules
	go generate ./...
	for e in $(EXAMPLES); do bin/isthmus vendor --repo $$e; done

.PHONY: verify
verify: lint ## lint and vet, and check that generated files are fresh and all files are formatted
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	cd test/suites/conformance && go vet ./...
	go mod verify >/dev/null
	test/fresh.sh

.PHONY: bench
bench: ## run the benchmarks; evaluation and applying beside their peers first (WRITE=1 keeps the tables in docs/benchmarks.md)
	go run ./test/bench/evaluation $(if $(WRITE),-write)
	KUBEBUILDER_ASSETS=$(ASSETS) go run ./test/bench/applying $(if $(WRITE),-write)
	KUBEBUILDER_ASSETS=$(ASSETS) go run ./test/bench/latency $(if $(WRITE),-write)
	KUBEBUILDER_ASSETS=$(ASSETS) go test -run '^$$' -bench . -benchtime 3x -timeout 60m ./...

.PHONY: demo
demo: build ## three clusters, one Git repository, live (KEEP=1 leaves it running)
	KUBEBUILDER_ASSETS=$(ASSETS) bin/isthmus demo $(if $(KEEP),--keep)

.PHONY: clean
clean: ## remove what was built in the checkout
	rm -rf bin dist
