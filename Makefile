# The commands of this repository. Needs make, git and a Python 3.11 or newer with venv and pip; nothing else.
# Name another interpreter with `make test PYTHON=python3.12`; pass options on with `make test ARGS="-k retry"`.

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench chaos docs test-pythons clean format lint mypy pyright layers

BIN := .venv/bin
ARGS ?=
FOLDER ?= .
# More than most machines' cores, for tests mostly wait.
JOBS ?= 4

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1

# Without PYTHON an existing .venv is used as it is; with PYTHON it is made anew when another interpreter made it.
ifdef PYTHON
VENV := .venv/.made-by-$(subst /,-,$(PYTHON))
else
VENV := $(BIN)/python
endif

# The stamps bear a checksum of pyproject.toml, so that an install is repeated only when that file has changed.
PYPROJECT := $(shell cksum < pyproject.toml | cut -d ' ' -f 1)
RUNTIME := .venv/.installed-$(PYPROJECT)
DEV := .venv/.installed-dev-$(PYPROJECT)

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(RUNTIME) ## count the words of this repository with a real worker (another folder: FOLDER=/path)
	@PYTHONPATH=examples $(BIN)/python -m wordcount "$(FOLDER)" $(ARGS)

test: $(DEV) ## run the tests
	@scripts/install-servers
	$(BIN)/python -m pytest -m "not chaos and not long" -n $(JOBS) $(ARGS)

test-long: $(DEV) ## run the tests that say the same once more, above all for another kind of queue on RabbitMQ
	@scripts/install-servers
	$(BIN)/python -m pytest -m long -n $(JOBS) $(ARGS)

check: $(DEV) ## check format, lint, types and layers
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target format lint mypy pyright layers
	@echo "check: all passed"

bench: $(DEV) ## run the benchmarks, against other task queues too
	$(BIN)/python -m benchmarks.run $(ARGS)

chaos: $(DEV) ## run the tests that kill processes at random
	@scripts/install-servers
	$(BIN)/python -m pytest -m chaos -n 0 $(ARGS)

docs: $(DEV) ## write the generated reference pages, then check links and run the snippets
	$(BIN)/python -m celeriac.config.reference docs/reference/settings.md
	$(BIN)/python -m pytest -n 0 -q tests/examples/test_docs.py $(ARGS)

test-pythons: ## run the tests on every Python from 3.11 on that this machine has
	@scripts/install-servers
	@set -e; python=$$(scripts/find-python "$(PYTHON)"); "$$python" scripts/test_pythons.py $(ARGS)

clean: ## remove the environments, the caches and what builds leave behind
	rm -rf .venv .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

format: $(DEV)
	$(BIN)/python -m ruff format --check

lint: $(DEV)
	$(BIN)/python -m ruff check

mypy: $(DEV)
	$(BIN)/python -m mypy

pyright: $(DEV)
	$(BIN)/python -m pyright --warnings

layers: $(DEV)
	$(BIN)/lint-imports

$(VENV):
	@set -e; python=$$(scripts/find-python "$(PYTHON)"); echo "making .venv with $$python"; \
	"$$python" -m venv --clear .venv || { echo "$$python has no venv; on Debian: apt install python3-venv" >&2; exit 1; }
ifdef PYTHON
	@touch $@
endif

$(RUNTIME): $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(RUNTIME)
