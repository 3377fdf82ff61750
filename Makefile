# The recipes of this repository. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Everything is built once: the same profile and the same features (--workspace --all-targets) for
# the tests, the demo and the binary you try by hand.
BUILD_FLAGS := --locked --workspace --all-targets
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WEFT := $(abspath $(TARGET_DIR))/debug/weft
SKIPPED := $(abspath $(TARGET_DIR))/skipped-tests.txt
LIGHT := -p weft-protocol -p weft-registry -p weft-simulations
FMT := $(CARGO) fmt --all -- --config unstable_features=true,imports_granularity=Crate,group_imports=StdExternalCrate
NEXTEST_PROFILE ?= $(if $(CI),ci,default)

step = @printf '\n==> %s (%s)\n' '$(1)' "$$(date -u +%H:%M:%S)"

.PHONY: help
help: ## Lists the recipes.
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Installs what a build needs and this machine lacks (libclang, a C++ compiler).
	@tests/tools/setup.sh

.PHONY: build
build: setup ## Builds the `weft` binary and every test.
	$(call step,build)
	$(CARGO) build $(BUILD_FLAGS)

.PHONY: demo
demo: build ## Shows the main job with real nodes on loopback.
	@# A directory of its own, removed even when the demo is interrupted.
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	TMPDIR="$$scratch" WEFT_BIN='$(WEFT)' '$(abspath $(TARGET_DIR))/debug/weft-demo'

.PHONY: fmt
fmt: ## Formats all code.
	$(FMT)

.PHONY: fmt-check
fmt-check:
	$(call step,formatting)
	$(FMT) --check

.PHONY: lint
lint: setup ## Runs clippy over everything; a warning is an error.
	$(call step,clippy)
	$(CARGO) clippy $(BUILD_FLAGS) -- -D warnings

.PHONY: inner
inner: ## The seconds lane: clippy and tests of protocol, registry (in memory) and simulations.
	$(CARGO) clippy --locked $(LIGHT) --all-targets -- -D warnings
	@if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --locked $(LIGHT); \
	else $(CARGO) test --locked $(LIGHT) --lib --tests; fi

.PHONY: doc
doc: ## Builds the documentation, private items included; a warning is an error.
	$(call step,documentation)
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps $(if $(LIGHT_DOC),$(LIGHT),--workspace) --document-private-items

.PHONY: typos
typos: ## Spell check, if `typos` is installed (pip install typos).
	@if command -v typos >/dev/null; then typos; else echo 'typos is not installed: skipped'; fi

.PHONY: check
check: fmt-check typos inner ## Before each push: formatting, spelling, the seconds lane, documentation.
	@$(MAKE) --no-print-directory doc LIGHT_DOC=1

.PHONY: test
test: setup fmt-check lint ## The whole suite: formatting, clippy, unit, process and doc tests, the Python checker.
	$(call step,build)
	$(CARGO) build $(BUILD_FLAGS)
	$(call step,independent checker (Python))
	@tests/tools/checker.sh
	$(call step,tests)
	@rm -f '$(SKIPPED)'; export WEFT_SKIPPED='$(SKIPPED)'; if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  WEFT_BIN='$(WEFT)' $(CARGO) nextest run --profile $(NEXTEST_PROFILE) --locked --workspace --all-targets; \
	else \
	  echo 'cargo-nextest is not installed: using cargo test'; \
	  WEFT_BIN='$(WEFT)' $(CARGO) test $(BUILD_FLAGS); \
	fi
	$(call step,clients (Python))
	@WEFT_BIN='$(WEFT)' WEFT_SKIPPED='$(SKIPPED)' tests/tools/clients.sh
	$(call step,doc tests)
	$(CARGO) test --locked --workspace --doc
	@if [ -s '$(SKIPPED)' ]; then printf '\n'; cat '$(SKIPPED)'; fi

.PHONY: clients
clients: build ## Checks with real Hugging Face clients out of PyPI and a browser; ONLY=word picks some, LONG=1 takes all.
	@WEFT_BIN='$(WEFT)' CLIENTS_LONG='$(LONG)' CLIENTS_ROUNDS='$(if $(LONG),50)' tests/tools/clients.sh $(ONLY)

.PHONY: e2e
e2e: setup ## The process tests alone; FILTER=name picks some.
	$(CARGO) build $(BUILD_FLAGS)
	WEFT_BIN='$(WEFT)' $(CARGO) test --locked --workspace --test it -- $(FILTER)

.PHONY: soak
soak: setup ## The long forms of tests about models: 50 kills, 200 receipts a row, 1,000 questions, 100 strangers; FILTER=name picks some. A quarter of an hour.
	$(CARGO) build $(BUILD_FLAGS)
	WEFT_BIN='$(WEFT)' WEFT_TEST_KILLS=50 WEFT_TEST_RECEIPTS=200 WEFT_TEST_REQUESTS=1000 WEFT_TEST_QUESTIONS=40 WEFT_TEST_ROUNDS=30 \
	  $(CARGO) nextest run --profile soak --locked --workspace --all-targets -E \
	  'test(/^(abuse|peers::an_answer|audits|growth|overhead|quiet)/) and test(/$(FILTER)/)'

.PHONY: fuzz
fuzz: ## Fuzzes every parser of the protocol for a minute; FUZZ=name picks one, FUZZ_SECONDS=n takes longer.
	@tests/tools/fuzz.sh

.PHONY: deps
deps: ## Licences, bans and sources of the dependencies (needs cargo-deny).
	$(CARGO) deny --locked check bans licenses sources

.PHONY: bench
bench: setup ## Measures fetch and publish against cp, TCP and rivals; with MODELS='files' models against llama.cpp; see docs/performance.md.
ifdef MODELS
	$(CARGO) build --locked --release -p weft-engine
	@ENGINE='$(abspath $(TARGET_DIR))/release/weft-engine' tests/bench/bench.sh engine $(MODELS)
else
	$(CARGO) build --locked --release -p weft-cli
	@WEFT_BIN='$(abspath $(TARGET_DIR))/release/weft' tests/bench/bench.sh
endif

.PHONY: simulate
simulate: ## Runs the simulator's scenarios and writes docs/simulations/ (SEEDS=20 PEERS_MAX=10000 for all targets: hours).
	$(CARGO) run --locked --release -p weft-simulations -- report --out docs/simulations \
	  --seeds $(or $(SEEDS),10) --peers-max $(or $(PEERS_MAX),100) --jobs $(or $(JOBS),2) $(if $(RUNS),--runs $(RUNS))

.PHONY: clean
clean: ## Removes everything that was built.
	$(CARGO) clean
