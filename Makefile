# Every command of the project. The first one makes .venv and fills it; nothing is installed outside of it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -q -c constraints.txt
CODE := $(wildcard src tests scripts bench examples)

# The first interpreter that is new enough. `make PYTHON=/path/to/python3 …` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help demo test check format lint types contracts shape soak bench traffic matrix prices docs constraints wheel clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: $(VENV)/.stamp-base ## ask twice, stream once, see what was paid
	@$(VENV)/bin/ostinato demo

test: check ## everything CI runs: the checks, then the tests
	@$(PY) -m pytest

check: format lint types contracts shape ## format, lint, types, import contracts, sizes

format: $(VENV)/.stamp-dev
	@$(PY) -m ruff format --check $(CODE)

lint: $(VENV)/.stamp-dev
	@$(PY) -m ruff check $(CODE)

types: $(VENV)/.stamp-dev
	@$(PY) -m mypy

contracts: $(VENV)/.stamp-dev
	@$(VENV)/bin/lint-imports --no-logo

shape: $(VENV)/.stamp-dev
	@$(PY) scripts/shape.py

soak: $(VENV)/.stamp-dev ## the long runs
	@$(PY) -m pytest -m soak

bench: $(VENV)/.stamp-dev ## the benchmarks, beside their floors
	@for path in bench/[a-z]*.py; do $(PY) -m bench.$$(basename $$path .py) || exit 1; done

traffic: $(VENV)/.stamp-dev ## every recorded exchange through the public call, as a table
	@$(PY) -m scripts.traffic_table

matrix: $(VENV)/.stamp-dev ## every official client against the gateway, each vendor behind each dialect, as a table
	@$(PY) -m venv build/matrix
	@build/matrix/bin/pip --disable-pip-version-check install -q langchain-openai langchain-anthropic || true
	@npm install --prefix build/matrix --no-audit --no-fund --loglevel=error openai || true
	@$(PY) -m scripts.client_matrix

prices: $(VENV)/.stamp-dev ## the price table anew, from its dated sources
	@$(PY) scripts/make_prices.py

docs: $(VENV)/.stamp-docs ## the documentation as pages, in site/
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

wheel: $(VENV)/.stamp-dev ## the wheel and the sdist, in dist/
	@$(PY) -m build --outdir dist

constraints: $(VENV)/.stamp-dev ## resolve constraints.txt anew
	@$(PIP) uv
	@$(PY) -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-annotate --no-header --no-emit-package ostinato --upgrade -o constraints.txt

clean: ## forget .venv and everything that was built
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.stamp-python:
	@test -n "$(PYTHON)" || { echo "ostinato needs Python 3.11 or newer; none is on PATH. Install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("ostinato needs Python 3.11 or newer; $(PYTHON) is %d.%d" % v[:2])'
	@echo "making $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-base: pyproject.toml constraints.txt $(VENV)/.stamp-python
	@echo "installing ostinato into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt $(VENV)/.stamp-python
	@echo "installing ostinato and its development tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.stamp-base $@

$(VENV)/.stamp-docs: pyproject.toml constraints.txt $(VENV)/.stamp-python
	@$(PIP) -e '.[docs]'
	@touch $@
