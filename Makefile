# Needs Python 3.10 to 3.13, make and a network; everything else is installed into .poetry and .venv by the targets below.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.10 python3; do \
	if $$python -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	then echo $$python; break; fi; done)
POETRY_VERSION := 2.5.1
POETRY := POETRY_VIRTUALENVS_IN_PROJECT=true POETRY_VIRTUALENVS_CREATE=true .poetry/bin/poetry
POETRY_STAMP := .poetry/.installed-$(POETRY_VERSION)
STAMP := .venv/.installed
VENV := .venv/bin

.PHONY: help install demo test lint format lock
.DEFAULT_GOAL := help

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## install the connector and its tools into .venv, as the lock says

$(POETRY_STAMP):
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv --clear .poetry
	.poetry/bin/pip install --quiet --disable-pip-version-check poetry==$(POETRY_VERSION)
	@touch $@

$(STAMP): $(POETRY_STAMP) pyproject.toml poetry.lock
	@test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(POETRY) sync --no-interaction --no-ansi
	@touch $@

lock: $(POETRY_STAMP) ## resolve the dependencies of pyproject.toml anew where the lock no longer fits them
	$(POETRY) lock --no-interaction

demo: $(STAMP) ## show spec, check and write against a simulated CleverPush
	$(VENV)/python -m integration_tests.demo

test: $(STAMP) ## run the unit and integration tests
	$(VENV)/python -m pytest

lint: $(STAMP) ## ruff, mypy --strict and the lock's freshness
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(POETRY) check --lock

format: $(STAMP) ## let ruff repair what it can
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
