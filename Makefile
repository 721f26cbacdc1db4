# Two commands: `make demo` tells the story, `make test` checks everything. Both set up what they need
# in .venv and .cache; only Python 3.10 or later, make and a package registry have to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Exact versions of all that is installed here, but for test-newest and test-lowest: `make lock` renews them.
LOCK := constraints.txt
PIP := pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --constraint $(LOCK)
# What the tests write goes to memory where there is such a place: three times as fast. The local store's own
# tests stay on a disk. What pytest and the programs that it starts have compiled is kept, also where images
# say not to.
QUICKLY := PYTHONDONTWRITEBYTECODE= $(if $(wildcard /dev/shm),TMPDIR=/dev/shm )
# Most of the time they wait, for servers and deadlines: hence three workers a core. Those of FAST do not, nor do
# those of frameworks, of which each worker imports all.
WORKERS := $(shell echo $$((3 * $$(nproc 2>/dev/null || sysctl -n hw.ncpu))))
PER_CORE := -n logical --dist worksteal
FAST := $(PER_CORE) --hypothesis-profile sample -m 'not (servers or slow or pythons)'
EACH := -n $(WORKERS) --dist worksteal -m 'pythons or not (servers or slow)'
ON_EACH := CKPTPTR_SKIP_SERVERS=gcs,azure $(QUICKLY)

# pip and the build backend; then what the demo needs, or all that development needs; once each.
BASE := $(VENV)/.ready-base
DEMO := $(VENV)/.ready-demo
READY := $(VENV)/.ready

# Azurite, for the tests: from npm, by the Node of a wheel; once.
NPM := tests/servers/npm
AZURITE := .cache/azurite
AZURITE_READY := $(AZURITE)/.ready

# scikit-learn and LightGBM, for the examples; once.
EXAMPLES_READY := $(VENV)/.ready-examples

# A browser, for the tests of pages: the system's own.
FIND_BROWSER := $(BIN)/python -m tests.report.browser

# Environments beside .venv: of other Pythons and other versions, made anew for each run.
PYTHONS := 3.10 3.11 3.12 3.13
UV := .cache/uv/bin/uv
ENVIRONMENTS := .cache/environments
WHEEL := .cache/wheel
TESTS := $(WHEEL)/tests
# Torch's CPU build, and what trains with it; torch from its own index where yours does not have it; once.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
FRAMEWORKS := $(ENVIRONMENTS)/frameworks
IN_FRAMEWORKS := $(FRAMEWORKS)/bin/$(LOCKED) --editable '.[all]' --group dev --group frameworks
# Keras on jax, Orbax and XGBoost, without torch; once.
JAX := $(ENVIRONMENTS)/jax
IMPORTS := tests/frameworks/imports.pth
GROUPS := lock dev frameworks jax bench examples

.PHONY: help setup browser demo test test-fast test-frameworks prove mutants histories trouble soak fuzz wheel test-pythons test-lowest test-newest lock bench lint types check format clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) $(AZURITE_READY) $(EXAMPLES_READY) browser ## Everything that development needs, in .venv and .cache

$(BASE): $(LOCK) Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(LOCKED) pip hatchling editables
	touch $@

$(DEMO): $(BASE) pyproject.toml
	$(BIN)/$(LOCKED) --no-build-isolation --editable '.[flytekit]'
	touch $@

$(READY): $(BASE) pyproject.toml
	$(BIN)/$(LOCKED) --no-build-isolation --editable '.[all]' --group dev
	touch $@

$(AZURITE_READY): $(NPM)/package.json $(NPM)/package-lock.json | $(READY)
	mkdir -p $(AZURITE)
	cp $^ $(AZURITE)
	$(BIN)/npm ci --prefix $(AZURITE) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(EXAMPLES_READY): $(READY)
	$(BIN)/$(LOCKED) --group examples
	touch $@

$(FRAMEWORKS)/.ready: $(LOCK) pyproject.toml $(IMPORTS)
	$(PYTHON) -m venv --clear $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/$(LOCKED) pip
	$(IN_FRAMEWORKS) || $(IN_FRAMEWORKS) --extra-index-url $(TORCH_INDEX)
	cp $(IMPORTS) $(FRAMEWORKS)/lib/python*/site-packages
	touch $@

$(JAX)/.ready: $(LOCK) pyproject.toml $(IMPORTS)
	$(PYTHON) -m venv --clear $(JAX)
	$(JAX)/bin/$(LOCKED) pip
	$(JAX)/bin/$(LOCKED) --editable '.[all]' --group dev --group jax
	cp $(IMPORTS) $(JAX)/lib/python*/site-packages
	touch $@

$(UV): $(LOCK)
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/$(LOCKED) uv
	touch $@

browser: $(READY)
	@$(FIND_BROWSER) >/dev/null 2>&1 || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else $(FIND_BROWSER) || true; fi

demo: $(DEMO) ## The story: real kills of an unchanged task, on a local folder
	$(BIN)/python examples/demo.py

test: setup ## All tests; starts real servers for S3, Google Cloud Storage and Azure
	$(QUICKLY)$(BIN)/pytest -n $(WORKERS)

test-fast: $(READY) ## The tests that need neither a server nor pyflyte-execute, and a sample of the slow ones
	$(QUICKLY)$(BIN)/pytest $(FAST)

test-frameworks: $(FRAMEWORKS)/.ready $(JAX)/.ready ## What needs torch, jax or a framework: processes are killed, and resume; in two environments of its own
	$(QUICKLY)$(FRAMEWORKS)/bin/pytest $(PER_CORE) tests/frameworks
	$(QUICKLY)$(JAX)/bin/pytest $(PER_CORE) tests/jax

prove: $(READY) ## Every schedule of small worlds, with every crash and lost reply
	$(QUICKLY)$(BIN)/python -m tests.prove

mutants: $(READY) ## Break each rule of the protocol by one line, in a copy: the worlds of `make prove` find all
	$(QUICKLY)$(BIN)/python -m tests.prove.kill

HOURS := 1
SECONDS := $(shell echo $$(($(HOURS) * 3600)))
# Seeds that `make test` does not live.
FIRST := 1000

histories: $(READY) ## Random histories for HOURS=1, or SECONDS=; SERVER=1: on a real S3 server. A seed names each broken one
	$(QUICKLY)$(BIN)/python -m tests.histories --seconds $(SECONDS) --first $(FIRST) $(if $(SERVER),--server)

STORE := s3
MINUTES := 30

trouble: $(READY) $(AZURITE_READY) ## Real processes on a real server, killed and cut off: MINUTES=30 STORE=s3, gcs, azure or disk
	$(QUICKLY)$(BIN)/python -m tests.trouble --store $(STORE) --minutes $(MINUTES) --record

SIZE := 1

soak: $(READY) ## Long runs in which nothing may grow: SIZE=1, a part of it as 0.1; STORY="saves", attempts, indices, ranks
	$(QUICKLY)$(BIN)/python -m tests.soak --size $(SIZE) $(if $(STORY),--story "$(STORY)") --record

fuzz: $(READY) ## Damaged stores and odd environments, drawn at random: MINUTES=30
	$(QUICKLY)$(BIN)/python -m tests.fuzz $(MINUTES)

wheel: $(BASE)
	rm -rf $(WHEEL)
	$(BIN)/hatchling build -d $(WHEEL)
	mkdir $(TESTS)
	tar -xzf $(WHEEL)/*.tar.gz -C $(TESTS) --strip-components 1
	rm -r $(TESTS)/ckptptr

test-pythons: $(PYTHONS:%=test-python-%) ## Test-fast, the S3 store and the story on each Python that is here, from the built wheel

# First without any extra, as a user may have it. PYENV_VERSION is for the stand-ins that pyenv puts in PATH.
test-python-%: wheel $(UV)
	@python=$$(PYENV_VERSION=$* python$* -c 'import sys; print(sys.executable)' 2>/dev/null \
		|| $(UV) python find --no-python-downloads $* 2>/dev/null) \
	|| { echo "Python $* is not here, and not tested"; exit 0; }; \
	set -e; here=$(ENVIRONMENTS)/$*; wheel=$$(echo $(WHEEL)/*.whl); install="$(UV) pip install --quiet --python $$here --constraint $(LOCK)"; \
	echo "Python $*: $$python"; \
	$(UV) venv --quiet --clear --python $$python $$here; \
	$$install $$wheel; \
	$$here/bin/python -W error $(TESTS)/tests/without_extras.py; \
	$$install "$$wheel[all]" --group dev; \
	bin=$$PWD/$$here/bin; cd $(TESTS); \
	$(ON_EACH)$$bin/pytest $(EACH)

test-lowest: $(UV) ## Test-fast and the story with the lowest versions that are declared, as they were when the lock was made
	$(UV) venv --quiet --clear --python $$($(PYTHON) -c 'import sys; print(sys.executable)') $(ENVIRONMENTS)/lowest
	$(UV) pip install --quiet --python $(ENVIRONMENTS)/lowest --resolution lowest-direct \
		--exclude-newer $$(grep -o '[0-9]*-[0-9]*-[0-9]*' $(LOCK) | head -1)T23:59:59Z --editable '.[all]' --group dev
	$(ON_EACH)$(ENVIRONMENTS)/lowest/bin/pytest $(EACH)

test-newest: $(AZURITE_READY) browser ## All tests but the slow ones, with the newest versions, as pip finds them today
	$(PYTHON) -m venv --clear $(ENVIRONMENTS)/newest
	$(ENVIRONMENTS)/newest/bin/$(PIP) --upgrade pip
	$(ENVIRONMENTS)/newest/bin/$(PIP) --editable '.[all]' --group dev
	$(QUICKLY)$(ENVIRONMENTS)/newest/bin/pytest -n $(WORKERS) -m 'not slow'

# torch's CPU build is not on PyPI; the other one has the same needs, and CUDA.
lock: $(UV) ## Renew constraints.txt: the newest versions, for each Python that is supported
	grep -om1 '"torch==[0-9.]*' pyproject.toml | tr -d '"' > .cache/torch
	$(UV) pip compile --quiet --universal --python-version $(firstword $(PYTHONS)) --all-extras $(GROUPS:%=--group %) \
		--override .cache/torch --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		pyproject.toml --output-file .cache/lock --upgrade
	{ date -u '+# Made by `make lock` on %Y-%m-%d.'; grep -vE '^(cuda|nvidia|triton)' .cache/lock; } > $(LOCK)

BENCH := --size 0.25

bench: setup ## Measure against the others and write benchmarks/results; BENCH="--size 1" for more
	$(BIN)/$(LOCKED) --group bench
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
