# One verb, one command; CI calls the same. `make help` lists them.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell $(p) -c '' 2>/dev/null && echo $(p))) python3)
UV_VERSION := 0.13.9

PY := .venv/bin/python
LOCKS := requirements-build.lock requirements.lock requirements-dev.lock
# Stamps carry a checksum of what they were made from: a checkout's file times say nothing.
sum = $(firstword $(shell cat $(1) | cksum))
RUNTIME := .venv/.runtime-$(call sum,$(LOCKS))
PROJECT := .venv/.project-$(call sum,pyproject.toml)
DEV := .venv/.dev-$(call sum,$(LOCKS))
FUZZ := .venv/.fuzz-$(call sum,requirements-fuzz.lock)
PUBLISHED := .venv-published/.ready-$(call sum,tests/interop/requirements-published.lock)
# As users get it: what the development tools bring along would be measured with it.
BENCH := .venv-bench/.ready-$(call sum,$(LOCKS) pyproject.toml)

MATRIX := 3.11 3.12 3.13
FUZZ_SECONDS ?= 5
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test unit coverage check model fuzz docs bench sim-large lock system test-matrix mutations $(MATRIX:%=unit-%) format clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r n t; do printf '  make %-12s %s\n' "$$n" "$$t"; done

setup: $(DEV) $(PROJECT) ## Make .venv with the project and its development tools

demo: $(PROJECT) ## Two nodes find each other, shake hands and talk
	@$(PY) -m ironmesh demo $(ARGS)

test: $(DEV) $(PROJECT) $(PUBLISHED) system ## All tests, with stage times
	@$(PY) scripts/stages.py -- $(ARGS)

unit: $(DEV) $(PROJECT) ## Unit tests only
	@$(PY) scripts/stages.py --only unit -- $(ARGS)

coverage: $(DEV) $(PROJECT) ## Unit tests with branch coverage (slow)
	@$(PY) scripts/stages.py --only unit --coverage -- $(ARGS)

check: $(DEV) $(PROJECT) ## Lint, format, types, import arrows, clean tracked files
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) scripts/check_tracked.py

model: $(RUNTIME) system ## Let spin search the models of the protocol (spec/model) for attacks
	@$(PY) scripts/model.py $(ARGS)

format: $(DEV) ## Let ruff format and mend what it can
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

fuzz: $(FUZZ) $(PROJECT) ## Fuzz every decoder of network bytes (FUZZ_SECONDS each)
	@$(PY) -m tests.fuzz.run --seconds $(FUZZ_SECONDS) $(ARGS)

docs: $(PROJECT) ## Run the examples of the pages and record docs/demo.svg anew
	@$(PY) scripts/docs_examples.py --write
	@$(PY) scripts/record_svg.py --output docs/demo.svg --title 'Two agents find each other and talk' 'ironmesh demo'

bench: $(BENCH) $(PUBLISHED) ## Measure against the published node and write docs/benchmarks.* (ARGS=--quick writes nothing)
	@.venv-bench/bin/python -m bench --pages docs $(ARGS)

mutations: $(DEV) $(PROJECT) ## Take checks out of a copy, one by one, and see the attack tests fail
	@$(PY) scripts/mutations.py $(ARGS)

sim-large: $(PROJECT) ## Simulate a mesh of 5,000 nodes (two hours, and 18 GB of memory)
	@$(PY) -m ironmesh simulate --nodes 5000 --degree 9.5 --delay 2 --rest 0 $(ARGS)

test-matrix: $(MATRIX:%=unit-%) ## Unit tests on every Python 3.11 to 3.13 of this machine

# A pyenv shim is there even when its Python is not chosen, so its folder is asked too.
$(MATRIX:%=unit-%): unit-%:
	@for p in python$* "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$*.*/bin/python; do \
	  "$$p" -c '' 2>/dev/null || continue; \
	  echo "== unit tests on Python $*"; \
	  "$$p" scripts/bootstrap.py .venv-$* requirements-dev.lock --project || exit 1; \
	  exec .venv-$*/bin/python -m pytest tests/unit -q -n auto -p no:cacheprovider $(ARGS); \
	done; echo "python$* is not here: not tested"

lock: ## Resolve the dependencies anew (UPGRADE=--upgrade for newer ones)
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip -q install uv==$(UV_VERSION); }
	@set -e; compile() { .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE) "$$@"; }; \
	  compile requirements-build.in -o requirements-build.lock; \
	  compile pyproject.toml -o requirements.lock; \
	  compile pyproject.toml requirements-build.in --group dev --extra keychain -c requirements.lock -c requirements-build.lock -o requirements-dev.lock; \
	  compile requirements-fuzz.in -o requirements-fuzz.lock; \
	  compile tests/interop/requirements-published.in -o tests/interop/requirements-published.lock

system: ## Install what network tests and models need of the system (Debian, as root)
	@missing=; for pair in ip:iproute2 nft:nftables ping:iputils-ping ethtool:ethtool spin:spin gcc:gcc,libc6-dev; do \
	  command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $$(echo $${pair##*:} | tr , ' ')"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then echo "installing$$missing"; \
	  export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	else echo "tests with network namespaces, or models, will be skipped; as root install:$$missing"; fi

clean: ## Remove environments, caches and build results
	@rm -rf .venv .venv-* build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(RUNTIME):
	@$(PYTHON) scripts/bootstrap.py .venv requirements-build.lock requirements.lock --clear
	@touch $@

$(PROJECT): $(RUNTIME)
	@$(PYTHON) scripts/bootstrap.py .venv --project
	@touch $@

$(DEV): $(RUNTIME)
	@$(PYTHON) scripts/bootstrap.py .venv requirements-dev.lock
	@touch $@

$(FUZZ): $(DEV)
	@$(PYTHON) scripts/bootstrap.py .venv requirements-fuzz.lock
	@touch $@

$(BENCH):
	@$(PYTHON) scripts/bootstrap.py .venv-bench requirements-build.lock requirements.lock --clear --project
	@touch $@

$(PUBLISHED):
	@$(PYTHON) scripts/bootstrap.py .venv-published tests/interop/requirements-published.lock --clear
	@touch $@
