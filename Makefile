# Two commands: `make demo` tells the story, `make test` checks everything. Both set up what they need
# in .venv; only Python 3.10 or later, make and a package registry have to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest -n auto

# Azurite, for the tests: from npm, by the Node of a wheel; once.
NPM := tests/servers/npm
AZURITE := .cache/azurite
AZURITE_READY := $(AZURITE)/.ready

.PHONY: help setup demo test test-fast bench lint types check format clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) $(AZURITE_READY) ## Everything that development needs, in .venv and .cache

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

demo: $(READY) ## The story: real kills of an unchanged task, on a local folder
	$(BIN)/python examples/demo.py

test: setup ## All tests; starts real servers for S3, Google Cloud Storage and Azure
	$(PYTEST)

test-fast: $(READY) ## The tests that need neither a server nor pyflyte-execute
	$(PYTEST) -m 'not servers'

BENCH := --size 0.25 --rounds 2 --slow-rounds 1

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
