SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# The newest Python that starts: a launcher on the path may belong to a version that is switched off.
FIND_PYTHON = for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	python=$$($$name -c 'import sys; print(sys.executable)'); break; done; \
	if [ -z "$${python:-}" ]; then echo "expected python3 of 3.11 or newer on the path, found none" >&2; exit 1; fi

.PHONY: help install demo test test-frameworks test-containers test-kubernetes lint format images push up screenshots clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## Make .venv with everything that requirements.lock names, and this project

# uv is faster and checks the same hashes; pip is what a bare machine has. An environment that was
# made half way has no stamp and is made again.
$(STAMP): requirements.lock pyproject.toml
	@set -euo pipefail; $(FIND_PYTHON); echo "making $(VENV) with $$python"; \
	if uv --version >/dev/null 2>&1; then \
		uv venv --quiet --clear --python "$$python" $(VENV); \
		uv pip install --quiet --compile-bytecode --python $(PYTHON) --require-hashes -r requirements.lock; \
		uv pip install --quiet --python $(PYTHON) --no-deps -e .; \
	else \
		rm -rf $(VENV); "$$python" -m venv $(VENV); \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi; touch $@

demo: install ## A bad release, a changing world: real data, alarms, traffic back on a good model
	@$(VENV)/bin/leadsman demo $(ARGS)

# Two at a time, the tests of a file together: they share a database, or servers. ARGS="-n 0 FILE" for one.
test: install ## Run every test
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

test-frameworks: install ## Run the tests of heavy frameworks, each in an environment of its own
	@$(PYTHON) -m pytest tests/contract/frameworks -m frameworks $(ARGS)

test-containers: install ## Run the tests that need a Docker Engine, which is started where none runs
	@.ci/with-engine $(PYTHON) -m pytest -m containers $(ARGS)

test-kubernetes: install ## Run the launcher and the service on a real cluster, which is built once (10 minutes)
	@.ci/debian-packages docker-registry=docker-registry
	@tests/support/kubernetes/build >/dev/null && $(PYTHON) -m pytest -m kubernetes $(ARGS)

lint: install ## Check form, types and who imports whom
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --explicit-package-bases benchmarks/serving.py  # its name is a package's too
	@$(VENV)/bin/mypy --explicit-package-bases benchmarks/monitor.py
	@$(VENV)/bin/lint-imports

format: install ## Bring the code into form
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

images: ## Build the images that a cluster pulls: ours and those of replicas (FRAMEWORKS, VERSION)
	@deploy/images build

push: ## Push them to REGISTRY
	@deploy/images push

up: install ## Start the whole service on this machine
	@$(VENV)/bin/leadsman up $(ARGS)

screenshots: install ## Take the pictures in docs/screenshots anew, from the running demo
	@$(PYTHON) docs/take_screenshots.py

clean: ## Remove what the tools made, but no data
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
