# Two commands do everything on a machine that has python3 (with venv), make and git:
#
#   make demo    environment, the main job on a real trace, and where to look at the result
#   make test    environment and all tests
#
# The environment lives in .venv and is made from requirements.lock, which pins and hashes every package.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --retries 10 --timeout 60
READY := $(VENV)/.ready
DEMO ?= runs/demo

.PHONY: help demo test bounds lint style imports types format bench docs lock env clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## replay a real trace and say where the report is
	@$(BIN)/apportion replay --demo --out $(DEMO)
	@echo "open file://$(abspath $(DEMO))/report.html"

test: $(READY)  ## run all tests
# With bytecode, also where PYTHONDONTWRITEBYTECODE is set: a test may start a dozen processes.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

bounds: $(READY)  ## run the tests of the core with every index checked
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal tests/golden tests/property tests/differential

lint: style imports types  ## check style, types and who imports whom

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

imports: $(READY)
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

format: $(READY)  ## format the sources and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure speed against the targets
	$(BIN)/python tests/bench/bench_replay.py

docs: $(READY)  ## write the pages and the API reference to site/
	$(BIN)/python docs/build.py site
	@echo "open file://$(CURDIR)/site/index.html"

env: $(READY)  ## make the environment only

clean:  ## remove what was made, the environment too
	rm -rf $(VENV) build dist site runs .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find broker sim traces tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# bin/pip is the last thing venv makes: where it is missing, an attempt has failed or been interrupted.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "apportion needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.locked: requirements.lock | $(BIN)/pip
	@echo "making the environment in $(VENV): the first time this downloads about 300 MB"
	$(PIP) install --quiet --no-deps --no-compile --require-hashes -r requirements.lock
	@touch $@

$(READY): pyproject.toml $(VENV)/.locked
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
# Bytecode of what a replay imports, also where PYTHONDONTWRITEBYTECODE is set: every command would compile it anew.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import apportion.cli.replay, apportion.sim.runfolder, apportion.policy.compile, \
	  apportion.metrics.report.run_page, apportion.traces.clean, numba.np.arraymath, pyarrow.parquet, rich.progress, simpy'
	@touch $@

lock: build/uv/bin/uv  ## write requirements.lock anew; UPGRADE=1 takes the newest versions
	build/uv/bin/uv --no-config --quiet pip compile pyproject.toml --universal --python-version 3.11 --extra bound --extra notebook --group dev \
	  --generate-hashes --no-header --no-annotate $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@sed -i '1i # Every package of the environment for Python 3.11 and newer, pinned and hashed; `make lock` writes this file.' requirements.lock

build/uv/bin/uv:
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip --disable-pip-version-check install --quiet uv
