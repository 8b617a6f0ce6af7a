# Everything is installed into .venv; the stamp files in there make a second run quick.
# `make PYTHON=python3.12 ...` chooses the Python.
.DEFAULT_GOAL := help
.PHONY: help run test lint types judges bench clean

# The first of these that starts and is 3.10 or later.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
refuse = { echo "Windsock cannot be installed: $(1)" >&2; exit 1; }
, := ,
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.installed ## install and start a server with demo data: prints a URL, a password and a curl line
	@$(BIN)/windsock standalone

test: .venv/.test ## run the tests on SQLite and PostgreSQL (ARGS="-k pools" narrows; WINDSOCK_TEST_DATABASES=sqlite)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: .venv/.lint ## check style and format
	$(BIN)/ruff check && $(BIN)/ruff format --check

types: .venv/.lint ## check the type hints
	$(BIN)/mypy

judges: .venv/.test ## let three OpenAPI linters judge the document (needs Node.js 20.19 or later)
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/judges

bench: .venv/.installed ## compare cost per request, memory and start with a real Airflow (WINDSOCK_AIRFLOW_BIN names it)
	@WINDSOCK_AIRFLOW_BIN="$(WINDSOCK_AIRFLOW_BIN)" $(BIN)/python bench/airflow.py $(ARGS)

clean: ## remove the environment and everything that was generated
	rm -rf .venv .tox build dist htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.made:
	@test -n "$(PYTHON)" || $(call refuse,no Python 3.10 or later found: install one$(,) or make PYTHON=/path/to/it)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || $(call refuse,$(PYTHON) is no Python 3.10 or later)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call refuse,$(PYTHON) lacks the venv module$(,) which \
		Debian and Ubuntu have in the package python3-venv: install that$(,) or choose another with make PYTHON=...)
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

.venv/.installed: .venv/.made pyproject.toml
	$(PIP) install --editable .
	@touch $@

.venv/.test: .venv/.installed
	$(PIP) install --group test
	@touch $@

.venv/.lint: .venv/.installed
	$(PIP) install --group lint
	@touch $@
