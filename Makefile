# Every target makes its own environment: .venv is created when it is missing, and synced when the lock, the project or this file changed.

UV_VERSION := 0.13.8
PYTHONS := python3.12 python3.13 python3.11 python3 python
BIN := .venv/bin
AZURITE := build/azurite
AZURITE_VERSION := 3.37.0
ORIGINAL := build/original
INFERENCE_SERVER := build/inference-server
# What the tests start, and the package of Debian and Ubuntu that brings it.
PROGRAMS := chromium=chromium redis-server=redis-server ip=iproute2 nsenter=util-linux npm=npm
SYNCED := .venv/.synced

.DEFAULT_GOAL := help
.PHONY: help setup check test test-services test-oracles system-packages demo up bench clean

help:  ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

setup: $(SYNCED)  ## make .venv from the lock

# A shim on PATH may not run, and Debian's python3 may lack ensurepip, so each candidate is asked to do what we need of it.
$(SYNCED): pyproject.toml uv.lock Makefile
	@usable='import ensurepip, venv, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; \
	if ! $(BIN)/python -c "$$usable" 2>/dev/null; then \
	  for candidate in $(PYTHONS); do \
	    if $$candidate -c "$$usable" 2>/dev/null; then python=$$candidate; break; fi; \
	  done; \
	  if [ -z "$${python:-}" ]; then \
	    echo "No usable Python: tried $(PYTHONS), and none is 3.11, 3.12 or 3.13 with venv and ensurepip." >&2; \
	    echo "Install one (on Debian and Ubuntu the package is python3-venv), or name it: make setup PYTHONS=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making .venv with $$($$python --version)"; \
	  $$python -m venv --clear .venv; \
	fi
	@$(BIN)/uv --version 2>/dev/null | grep -qF "uv $(UV_VERSION) " || $(BIN)/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@echo "Syncing .venv with uv.lock (the first time downloads about 1 GB)"
	@UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --quiet --frozen --no-python-downloads --python $(BIN)/python --all-groups --all-extras
	@touch $@

check: $(SYNCED)  ## lint, format, types, layers
	@$(BIN)/uv lock --check --offline -qq || { echo "uv.lock does not match pyproject.toml: run $(BIN)/uv lock" >&2; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# In the order of the files: the long ones come before the many short ones.
SIDE_BY_SIDE := -n 2 --dist loadscope --no-loadscope-reorder

test: $(SYNCED)  ## every test that needs no Airflow, no deployed service, no storage but this machine's, and no system packages
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "not slow and not bench and not deploys and not services and not oracles" tests

test-services: $(SYNCED) system-packages $(AZURITE)  ## the tests of deployed services, in a real Airflow, on a cluster of them, on object storage and in a browser, all of which they start; what is missing is installed
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "deploys and not services" tests
	$(BIN)/pytest -q -m services tests

test-oracles: $(SYNCED) $(ORIGINAL)/.installed $(INFERENCE_SERVER)/.installed  ## the tests that ask Azure ML's own SDK and inference server, each in an environment of its own
	$(BIN)/pytest -q -m oracles tests/oracles

# Neither installs beside Airflow. Their packages are pinned for Python 3.11, which uv brings where there is none.
$(ORIGINAL)/.installed: tests/oracles/requirements.txt
$(INFERENCE_SERVER)/.installed: tests/oracles/inference_server_requirements.txt

$(ORIGINAL)/.installed $(INFERENCE_SERVER)/.installed: | $(SYNCED)
	@echo "Installing Azure ML's own into $(@D)"
	@$(BIN)/uv venv --quiet --clear --python 3.11 $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python -r $<
	@touch $@

# PostgreSQL's programs are on no PATH. They are looked for one by one, since who has them need not have them from a package.
system-packages:
	@packages=; \
	for program in $(PROGRAMS); do command -v $${program%=*} >/dev/null || packages="$$packages $${program#*=}"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages="$$packages postgresql"; \
	if [ -n "$$packages" ]; then \
	  root=; [ "$$(id -u)" -eq 0 ] || root="sudo -n"; \
	  if ! { command -v apt-get && $$root true; } >/dev/null 2>&1; then \
	    echo "These are missing, and installing them takes apt-get and root, or sudo without a password:$$packages" >&2; exit 1; \
	  fi; \
	  echo "Installing$$packages"; \
	  $$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null; \
	fi

# Azure's storage on this machine.
$(AZURITE): $(AZURITE)/.installed-$(AZURITE_VERSION)

$(AZURITE)/.installed-$(AZURITE_VERSION): | system-packages
	@echo "Installing Azurite $(AZURITE_VERSION) into $(AZURITE)"
	@npm install --prefix $(AZURITE) --no-save --no-audit --no-fund --loglevel error azurite@$(AZURITE_VERSION)
	@touch $@

demo: $(SYNCED)  ## train a small digits model, score real handwritten digits with it in a real Airflow, and stop
	@$(BIN)/python dags/demo

up: $(SYNCED)  ## the same Airflow with all lessons, until Ctrl-C
	@$(BIN)/python dags/demo up

bench: $(SYNCED)  ## measure the speed promises
	$(BIN)/python -m benchmarks

clean:  ## remove everything that is not the source
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .batchinfer
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
