# Everything a person or CI does here. `make` alone lists the targets.
.DEFAULT_GOAL := help

# The system's own Python where it is new enough: those who ship one build it with a profile of how it is used, which
# version managers leave out unless told. `make PYTHON=…` decides otherwise, for an environment that is not made yet.
SYSTEM_PYTHON := /usr/bin/python3
IS_FIT := import sys, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(if $(filter 0,$(shell $(SYSTEM_PYTHON) -c '$(IS_FIT)' 2>/dev/null; echo $$?)),$(SYSTEM_PYTHON),python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .peers
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade

# More workers than two cores, since tests also wait. A file stays on one worker, since its tests may share a process.
TESTS := $(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# Tests that another version of PostgreSQL cannot change.
WITHOUT_SQL := --ignore=tests/integration/channels --ignore=tests/integration/devstack \
	--ignore=tests/integration/outbox_relay/test_lying_mail_servers.py

# Where Python was told to write no bytecode, each of the many processes here would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 26

$(READY): requirements-setup.lock requirements-dev.lock pyproject.toml
	@echo "Setting up $(VENV) (once; about ten seconds)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.x")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-setup.lock -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(READY) ## make the virtual environment from the hashed requirements

.PHONY: demo
demo: $(READY) ## tell the whole story once, on real parts, and leave nothing running
	@$(BIN)/devstack demo

.PHONY: up
up: $(READY) ## the same stack, left running until Ctrl-C, with an inbox page
	@$(BIN)/devstack up

.PHONY: test
test: $(READY) ## run before every commit: all tests but the slow ones, in two minutes
	@$(TESTS) -m "not slow" tests/end_to_end tests/integration tests/contract tests/unit

.PHONY: test-all
test-all: $(READY) ## all tests but chaos, interop and packaging
	@$(TESTS) --ignore=tests/chaos --ignore=tests/interop --ignore=tests/shipping

.PHONY: chaos
chaos: $(READY) ## kill, freeze and cut off real processes for two minutes: nothing may be lost
	@# More than there are cores, since these mostly wait; who has no tests left takes them from others.
	@$(BIN)/pytest --numprocesses 4 --dist worksteal tests/chaos

.PHONY: interop
interop: $(READY) ## drills with other people's servers: PgBouncer
	@$(BIN)/pytest --numprocesses 2 tests/interop

.PHONY: test-shipping
test-shipping: $(READY) ## build the wheel and the image's steps, install them beside this machine, start them
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/shipping

.PHONY: test-upgrade
test-upgrade: $(READY) ## the previous release's tests on this schema
	@$(BIN)/python -m releasing upgrade

.PHONY: lint
lint: $(READY) ## style, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: check
check: lint test-all test-installed-postgres ## lint and all tests but chaos, interop, packaging and benchmark

.PHONY: test-installed-postgres
test-installed-postgres: $(READY) ## the quick database tests again, on the machine's own PostgreSQL where it has one
	@SIGNPOST_TEST_POSTGRES=installed $(TESTS) -m "not slow" tests/integration $(WITHOUT_SQL)

.PHONY: wheel
wheel: $(READY) ## build the wheel, into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist

.PHONY: sbom
sbom: $(READY) ## write what a server gets beside our own code, into dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	@$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json
	@echo "sbom: $$(grep -c '"purl"' dist/sbom.cdx.json) packages are listed in dist/sbom.cdx.json"

.PHONY: licences
licences: $(READY) ## list the licences of all that a server gets
	@$(BIN)/python -m releasing licences

.PHONY: audit
audit: $(READY) ## ask whether anything is known against what a server gets
	@$(BIN)/python -m releasing audit

.PHONY: release-check
release-check: $(READY) ## tell what stands between this source and a release of it
	@$(BIN)/python -m releasing check

.PHONY: bench
bench: $(READY) ## the benchmark, with its peers where they are installed
	@$(BIN)/python -m bench

.PHONY: bench-quick
bench-quick: $(READY) ## one short round of the benchmark, in about a minute
	@$(BIN)/python -m bench --quick

.PHONY: bench-peers
bench-peers: $(READY) ## install the benchmark's peers, in an environment of their own
	@$(PYTHON) -m venv $(PEERS)/venv
	@$(BIN)/uv pip install --quiet --python $(PEERS)/venv/bin/python -r bench/peers/requirements.txt
	@cp bench/peers/package.json $(PEERS)/
	@if command -v npm >/dev/null; then cd $(PEERS) && npm install --silent --no-package-lock --no-fund --no-audit; \
	else echo "npm is not installed: graphile-worker and pg-boss are not measured"; fi
	@command -v redis-server >/dev/null || echo "redis-server is not installed: Celery and Dramatiq are not measured"

.PHONY: docs
docs: $(READY) ## build the documentation site, into dist/site; a broken link fails
	@$(BIN)/sphinx-build --quiet --fresh-env --write-all --fail-on-warning --keep-going -c docs . dist/site
	@echo "docs: open dist/site/docs/index.html"

.PHONY: pictures
pictures: $(READY) ## take the pictures of the docs anew, with Chromium
	@$(BIN)/python -m tests.support.pictures

.PHONY: format
format: $(READY) ## put the code into shape
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

.PHONY: lock
lock: $(READY) ## choose the dependencies anew, with hashes
	@$(COMPILE) requirements-setup.in -o requirements-setup.lock
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) --extra dev pyproject.toml -o requirements-dev.lock

.PHONY: clean
clean: ## remove what these targets made
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
