# What the project can do for you; `make help` lists it. Needs Python 3.11+ and, for speed, gcc. Nothing needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --quiet --disable-pip-version-check
KERNELS := $(wildcard rusts/kernels/*.py)
SOURCES := rusts tests tools benches examples
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-pure lint format clients proof bench coverage dist clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' Makefile | expand -t 14

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rusts needs Python 3.11 or later; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

# Dependencies come again when pyproject.toml changes.
$(STAMPS)/dependencies: pyproject.toml $(STAMPS)/venv
	$(PIP) install --upgrade pip
	$(PIP) install --editable '.[dev]'
	@touch $@

# The kernels are compiled again when one of them changes.
$(STAMPS)/kernels: $(KERNELS) $(STAMPS)/dependencies
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMPS)/kernels ## make .venv, install, compile the kernels

run: setup       ## serve ./data on 127.0.0.1:8086 (flags go in ARGS)
	$(BIN)/rusts-server --data-dir ./data --bind 127.0.0.1:8086 $(ARGS)

test: setup lint ## lint, then the tests on the compiled and on the pure build
	$(BIN)/python -m pytest $(ARGS)
	@$(MAKE) --no-print-directory test-pure

# The pure build is a copy of the tree without the compiled kernels.
test-pure: setup ## the kernels' and the rooms' tests on kernels that are not compiled
	@rm -rf build/pure && mkdir -p build/pure
	@tar -cf - --exclude='*.so' --exclude='*.c' --exclude='__pycache__' $(SOURCES) docs README.md rusts.toml.example pyproject.toml \
		| tar -xf - -C build/pure
	cd build/pure && PYTHONPATH=. $(CURDIR)/$(BIN)/python -m pytest tests/kernels tests/unit

lint: setup      ## ruff, mypy --strict, import directions, kernel digests
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/stamp_kernels.py --check

format: setup    ## put the sources into the one form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clients: setup   ## tests against real clients, which are installed in build/clients
	$(BIN)/python tools/clients.py
	$(BIN)/python -m pytest tests/compat $(ARGS)

proof: setup     ## the full counts of the property, crash and fuzz suites: hours
	RUSTS_PROOF=1 $(BIN)/python -m pytest $(ARGS)

bench: setup     ## every bench beside its peers, as JSON
	$(BIN)/python -m benches.run $(ARGS)
	@for room in lineproto numtext wal segment index fold; do echo "== $$room"; $(BIN)/python -m benches.$$room || exit 1; done

coverage: setup  ## which lines the tests reach
	$(BIN)/python -m coverage run --source rusts -m pytest $(ARGS)
	$(BIN)/python -m coverage report --skip-covered

dist: setup      ## sdist and wheel in dist/
	$(BIN)/python -m build

clean:           ## remove what was built; data stays
	rm -rf build dist *.egg-info rusts/kernels/*.so rusts/kernels/*.c $(STAMPS)/kernels
