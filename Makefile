# Everything happens in .venv, which holds exactly what requirements/ pins. Python 3.11 or newer is
# all that has to be there: `make demo`, `make test`.

PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
CODE     := $(wildcard exporter alerts grafana deploy tests bench)
SCENARIO ?= healthy
WORKERS  ?= 3
ARGS     ?=

# What the installed package is made of besides its code, which is used where it lies.
PROJECT := pyproject.toml exporter/__init__.py

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL_PROJECT := $(PIP) install --no-deps --no-build-isolation --editable .

# The tests start hundreds of processes: without this, each may have to compile all code again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types format schema docs alerts dashboards chart requirements bench clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(VENV)/.dev ## Install everything that development needs into .venv.

demo: $(VENV)/.demo ## Watch a Loom deployment live (SCENARIO=healthy, SOURCES=1, ARGS=...).
	@exec $(BIN)/loom-exporter demo --scenario $(SCENARIO) $(if $(SOURCES),--sources) $(ARGS)

# A claim about latency holds on a machine that does nothing else. ARGS say what to run instead.
PYTEST   := $(BIN)/python -m pytest
PARALLEL := --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

test: lint types ## Lint, check types, run all tests (ARGS=... for pytest, WORKERS=3).
	@echo '==> Running the tests'
ifneq ($(strip $(ARGS)),)
	@$(PYTEST) $(PARALLEL) $(ARGS)
else
	@$(PYTEST) $(PARALLEL) -m 'not timing'; status=$$?; \
	[ $$status -ne 2 ] || exit 2; `# it was interrupted` \
	echo '==> Running the claims about latency, alone'; \
	$(PYTEST) -m timing && exit $$status
endif

lint: $(VENV)/.dev ## Check style and formatting.
	@echo '==> Checking style'
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev ## Check types.
	@echo '==> Checking types'
	@$(BIN)/mypy $(CODE)

format: $(VENV)/.dev ## Format the code, and mend what ruff can mend.
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

schema: $(VENV)/.dev ## Write the JSON Schemas of the headers of queries and of deployment.yaml.
	@$(BIN)/python -m exporter.catalog.schema sql > $(VENV)/header.schema.json
	@mv $(VENV)/header.schema.json queries/header.schema.json
	@$(BIN)/python -m exporter.catalog.schema http > $(VENV)/http.schema.json
	@mv $(VENV)/http.schema.json queries/http.schema.json
	@$(BIN)/python -m exporter.catalog.schema as > $(VENV)/as.schema.json
	@mv $(VENV)/as.schema.json queries/as.schema.json
	@$(BIN)/python -m exporter.catalog.schema deployment > $(VENV)/deployment.schema.json
	@mv $(VENV)/deployment.schema.json queries/deployment.schema.json

docs: $(VENV)/.dev ## Write docs/metrics.md and docs/deployment-yaml.md, after a change of a metric or a key.
	@$(BIN)/python -m exporter.catalog.metrics_page > $(VENV)/metrics.md
	@mv $(VENV)/metrics.md docs/metrics.md
	@$(BIN)/python -m exporter.catalog.deployment_page > $(VENV)/deployment-yaml.md
	@mv $(VENV)/deployment-yaml.md docs/deployment-yaml.md

alerts: $(VENV)/.dev ## Write alerts/rules/ and alerts/prometheusrule.yaml from their templates.
	@$(BIN)/python -m alerts.build

dashboards: $(VENV)/.dev ## Write grafana/dashboards/.
	@$(BIN)/python -m grafana.build

chart: $(VENV)/.dev ## Copy rules, dashboards and names of settings into deploy/helm/.
	@$(BIN)/python -m deploy.helm.build

bench: $(VENV)/.dev ## Run the benchmarks.
	@for benchmark in bench/bench_*.py; do echo "==> $$benchmark"; $(BIN)/python "$$benchmark" $(ARGS) || exit 1; done

clean: ## Remove .venv, what was built, and all caches.
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The files are made with the oldest Python that we support, and serve the newer ones as well.
TOOLS   := $(VENV)/tools/bin
COMPILE := CUSTOM_COMPILE_COMMAND='make requirements' $(abspath $(TOOLS))/pip-compile --quiet \
	--generate-hashes --strip-extras --allow-unsafe --no-config --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(if $(UPGRADE),--upgrade)
DEV_GROUP := import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); \
	print(*project["dependency-groups"]["dev"], sep="\n")

requirements: $(VENV)/.python ## Pin the requirements (UPGRADE=1 for the newest versions).
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo 'Pin with Python 3.11: make clean requirements PYTHON=python3.11' >&2; exit 1; }
	@echo '==> Resolving'
	@test -x $(TOOLS)/pip-compile || { $(BIN)/python -m venv $(VENV)/tools \
		&& $(TOOLS)/python -m pip --quiet --disable-pip-version-check install 'pip-tools==7.6.2'; }
	@$(COMPILE) --output-file requirements/run.txt pyproject.toml
	@$(COMPILE) --extra demo --build-deps-for editable --constraint requirements/run.txt \
		--output-file requirements/demo.txt pyproject.toml
	@$(COMPILE) --only-build-deps --build-deps-for wheel --constraint requirements/demo.txt \
		--output-file requirements/build.txt pyproject.toml
	@$(BIN)/python -c '$(DEV_GROUP)' > $(VENV)/dev.in
	@cd requirements && $(COMPILE) --output-file dev.txt demo.txt - < ../$(VENV)/dev.in
	@sed -e 's/-r -$$/loom-exporter (pyproject.toml:dev)/' requirements/dev.txt > $(VENV)/dev.txt
	@mv $(VENV)/dev.txt requirements/dev.txt

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
		|| { echo 'Python 3.11 or newer is needed, and "$(PYTHON)" is not: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
		|| { echo '"$(PYTHON)" cannot make virtual environments: install its venv package (Debian: python3-venv).' >&2; exit 1; }
	@echo '==> Making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: requirements/demo.txt $(PROJECT) | $(VENV)/.python
	@echo '==> Installing what the demo needs'
	@$(PIP) install --require-hashes --requirement requirements/demo.txt
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(PROJECT) | $(VENV)/.python
	@echo '==> Installing what development needs'
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@$(INSTALL_PROJECT)
	@touch $@ $(VENV)/.demo
