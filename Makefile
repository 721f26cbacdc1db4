# Two commands: `make demo` tells the story, `make test` checks everything. Both set up what they need
# in .venv; only Python 3.10 or later, make and a package registry have to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What the tests write goes to memory where there is such a place: three times as fast. The local store's own
# tests stay on a disk.
# Half of the time they wait, for servers and deadlines: hence two workers a core. Those of test-fast do not.
WORKERS := $(shell echo $$((2 * $$(nproc 2>/dev/null || sysctl -n hw.ncpu))))
# What pytest and the programs that it starts have compiled is kept, also where images say not to.
PYTEST := PYTHONDONTWRITEBYTECODE= $(if $(wildcard /dev/shm),TMPDIR=/dev/shm )$(BIN)/pytest -n $(WORKERS)

# Azurite, for the tests: from npm, by the Node of a wheel; once.
NPM := tests/servers/npm
AZURITE := .cache/azurite
AZURITE_READY := $(AZURITE)/.ready

# torch's CPU build and kfpytorch, for the tests of elastic tasks; from torch's own index where yours
# does not have it; once.
ELASTIC_READY := $(VENV)/.ready-elastic
ELASTIC := $(BIN)/pip install --quiet --disable-pip-version-check --group elastic
TORCH_INDEX := https://download.pytorch.org/whl/cpu

# scikit-learn and LightGBM, for the examples; once.
EXAMPLES_READY := $(VENV)/.ready-examples

# A browser, for the tests of pages: the system's own.
FIND_BROWSER := $(BIN)/python -m tests.report.browser

.PHONY: help setup browser demo test test-fast bench lint types check format clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) $(AZURITE_READY) $(ELASTIC_READY) $(EXAMPLES_READY) browser ## Everything that development needs, in .venv and .cache

$(READY): pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable '.[all]' --group dev
	touch $@

$(AZURITE_READY): $(NPM)/package.json $(NPM)/package-lock.json | $(READY)
	mkdir -p $(AZURITE)
	cp $^ $(AZURITE)
	$(BIN)/npm ci --prefix $(AZURITE) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(ELASTIC_READY): $(READY)
	$(ELASTIC) || $(ELASTIC) --extra-index-url $(TORCH_INDEX)
	touch $@

$(EXAMPLES_READY): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --group examples
	touch $@

browser: $(READY)
	@$(FIND_BROWSER) >/dev/null 2>&1 || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else $(FIND_BROWSER) || true; fi

demo: $(READY) ## The story: real kills of an unchanged task, on a local folder
	$(BIN)/python examples/demo.py

test: setup ## All tests; starts real servers for S3, Google Cloud Storage and Azure
	$(PYTEST)

test-fast: $(READY) ## The tests that need neither a server nor pyflyte-execute, and a sample of the slow ones
	$(PYTEST) -n logical --dist worksteal -m 'not servers and not slow'

BENCH := --size 0.25

bench: setup ## Measure against the others and write benchmarks/results; BENCH="--size 1" for more
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types ## Lint and types

format: $(READY) ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Forget the environment and all caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
