# Two commands matter to a newcomer: `make demo` and `make test`. Both install what they need first.
PYTHON ?= python3
BIN := .venv/bin
ROOMS := domain workflows activities storage channels intelligence api workers simulator

.PHONY: install demo up test check format clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q $(ROOMS)  # each conversation loads its workflow's module anew
	@touch $@

demo: install
	$(BIN)/baton demo

up: install
	$(BIN)/baton up --data .baton

test: install
	$(BIN)/pytest -n 2 --dist loadgroup

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .baton .mypy_cache .ruff_cache .import_linter_cache
