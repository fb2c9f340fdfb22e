# Needs Python 3.10 to 3.13, make and a network; everything else is installed into .poetry and .venv by the targets below.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.10 python3; do \
	if $$python -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	then echo $$python; break; fi; done)
POETRY_VERSION := 2.5.1
poetry = VIRTUAL_ENV=$(CURDIR)/$(1) .poetry/bin/poetry
POETRY_STAMP := .poetry/.installed-$(POETRY_VERSION)
STAMP := .venv/.installed
VENV := .venv/bin
# More environments, each from the same lock: what the image holds, the tools that look at it, and others.
RUNTIME := build/runtime
DEMO := build/demo
SUPPLY_CHAIN := build/supply-chain
SPARK := build/spark
SIDE_BY_SIDE := --numprocesses=auto --maxprocesses=4 --dist=worksteal

.PHONY: help install demo picture test test-all test-faults lint format lock image test-image test-pyairbyte test-pyairbyte-smoke test-pyairbyte-image test-examples test-spark test-rejected test-refreshes crash-test bench bench-spark bench-peers pictures audit sbom licences fuzz clean
.DEFAULT_GOAL := help

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## install the connector and its tools into .venv, as the lock says

$(POETRY_STAMP):
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv --clear .poetry
	.poetry/bin/pip install -qq --disable-pip-version-check poetry==$(POETRY_VERSION)
	@touch $@

$(STAMP): $(POETRY_STAMP) pyproject.toml poetry.lock
	@test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(call poetry,.venv) sync --compile --no-interaction --no-ansi
	@touch $@

$(RUNTIME)/.installed: $(POETRY_STAMP) pyproject.toml poetry.lock
	$(PYTHON) -m venv --clear --without-pip $(RUNTIME)
	$(call poetry,$(RUNTIME)) sync --only main --no-root --no-interaction --no-ansi --quiet
	@touch $@

$(SUPPLY_CHAIN)/.installed: $(POETRY_STAMP) pyproject.toml poetry.lock
	$(PYTHON) -m venv --clear $(SUPPLY_CHAIN)
	$(call poetry,$(SUPPLY_CHAIN)) sync --only supply-chain --no-root --no-interaction --no-ansi --quiet
	@touch $@

lock: $(POETRY_STAMP) ## resolve the dependencies of pyproject.toml anew where the lock no longer fits them
	$(call poetry,.poetry) lock --no-interaction

# What the demo needs, and no more.
$(DEMO)/.installed: $(POETRY_STAMP) pyproject.toml poetry.lock
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv --without-pip $(DEMO)
	$(call poetry,$(DEMO)) sync --only main,simulator --no-interaction --no-ansi --quiet
	@touch $@

demo: $(DEMO)/.installed ## show send, spec, check and write against a simulated CleverPush
	$(DEMO)/bin/python -m tools.demo

picture: $(DEMO)/.installed ## draw docs/terminal.svg, by the real program against a simulated CleverPush
	$(DEMO)/bin/python -m tools.picture

test: $(STAMP) ## run the unit and integration tests, but for the slow ones
	$(VENV)/python -m pytest $(SIDE_BY_SIDE)

test-all: $(STAMP) ## the same, with the slow ones
	$(VENV)/python -m pytest $(SIDE_BY_SIDE) -m "not image and not image_tests and not faults"

test-faults: $(STAMP) ## faults of the machine and the wire that take minutes
	$(VENV)/python -m pytest --timeout=300 -m faults integration_tests

lint: $(STAMP) ## ruff, who imports whom, mypy --strict and the lock's freshness
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/lint-imports
	$(VENV)/mypy
	$(call poetry,.venv) check --lock

format: $(STAMP) ## let ruff repair what it can
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

image: $(STAMP) ## build the image; tell its size and start-up time beside a bare airbyte-cdk
	$(VENV)/python -m tools.image report

test-image: $(STAMP) ## build the image and test it with a real Docker engine, as Airbyte runs it
	$(VENV)/python -m tools.image run \
		$(VENV)/python -m pytest -m "image or image_tests" integration_tests/test_image.py integration_tests/test_standard.py

test-pyairbyte: $(STAMP) ## sync Airbyte's demo source with PyAirbyte, in environments of its own
	$(VENV)/python -m tools.pyairbyte

test-pyairbyte-smoke: $(STAMP) ## run PyAirbyte's own smoke test of destinations, all scenarios
	$(VENV)/python -m tools.pyairbyte --smoke

test-pyairbyte-image: $(STAMP) ## the same, with the image besides
	$(VENV)/python -m tools.image run sh -c \
		'env -u CLEVERPUSH_IMAGE $(VENV)/python -m tools.pyairbyte --image "$$CLEVERPUSH_IMAGE"'

test-examples: $(STAMP) ## run the examples: DuckDB pipe, Dagster, the Kubernetes manifest's schema
	$(VENV)/python -m tools.examples

# pyspark and a JVM (17) are for these targets alone.
$(SPARK)/.installed: $(POETRY_STAMP) pyproject.toml poetry.lock
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv --without-pip $(SPARK)
	$(call poetry,$(SPARK)) sync --only main,simulator,dev --extras spark --no-interaction --no-ansi --quiet
	@touch $@

test-spark: $(SPARK)/.installed ## run a real Spark (needs Java 17); SPARK_ROWS=2000 for fewer rows
	$(SPARK)/bin/python -m pytest --timeout=300 integration_tests/spark

bench-spark: $(SPARK)/.installed ## measure a Spark job over 1, 2, 4 and 8 tasks (needs Java 17 and nginx)
	$(SPARK)/bin/python -m tools.spark_bench

test-rejected: $(STAMP) ## 100,000 rows, a tenth refused, five kills: every refused row is counted and kept
	$(VENV)/python -m tools.rejections

crash-test: $(STAMP) ## kill the connector over and over, and see that nothing is lost
	$(VENV)/python -m tools.crash

test-refreshes: $(STAMP) ## refresh 50,000 rows five times with change tracking, with ten kills, by both objects and kinds of ID
	$(VENV)/python -m tools.refreshes

bench: $(STAMP) ## measure speed and memory (needs nginx and wrk)
	$(VENV)/python -m tools.bench

bench-peers: $(STAMP) ## measure delivery beside dlt, drt, a plain destination, PyAirbyte and wrk (needs nginx and wrk)
	$(VENV)/python -m tools.peers $(PEERS)

pictures: $(STAMP) ## put what bench-peers measured into docs/benchmarks.md, as pictures and tables
	$(VENV)/python -m tools.peers.pictures
	$(VENV)/python -m tools.peers --docs

fuzz: $(STAMP) ## a minute of coverage-guided fuzzing (atheris, in an environment of its own)
	test -x build/fuzz/bin/python || { $(VENV)/python -m venv build/fuzz && build/fuzz/bin/pip install --quiet atheris; }
	PYTHONPATH=$$($(VENV)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		build/fuzz/bin/python -m tools.fuzz -max_total_time=60

audit: $(RUNTIME)/.installed $(SUPPLY_CHAIN)/.installed ## ask for known vulnerabilities of the locked dependencies
	$(SUPPLY_CHAIN)/bin/python -m tools.audit $(RUNTIME)/lib/python*/site-packages

sbom: $(RUNTIME)/.installed $(SUPPLY_CHAIN)/.installed ## write the bill of materials to build/sbom.cdx.json (CycloneDX)
	awk '/^\[tool/ {exit} {print}' pyproject.toml > build/project.toml
	$(SUPPLY_CHAIN)/bin/cyclonedx-py environment $(RUNTIME)/bin/python --pyproject build/project.toml \
		--output-reproducible --output-format JSON --output-file build/sbom.cdx.json

licences: $(RUNTIME)/.installed $(SUPPLY_CHAIN)/.installed ## write the dependencies' licences to docs/licences.md
	{ printf '# Licences of the dependencies\n\nAs they stand in the image. Written by `make licences`.\n\n'; \
	$(SUPPLY_CHAIN)/bin/pip-licenses --python $(RUNTIME)/bin/python --format=markdown --from=mixed --with-system --with-urls; \
	} > docs/licences.md

clean: ## remove the environments and everything built
	rm -rf .poetry .venv build dist
