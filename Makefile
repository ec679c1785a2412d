# Two commands matter to a newcomer: `make demo` and `make test`. Both install what they need first.
PYTHON ?= python3
BIN := .venv/bin
ROOMS := domain workflows activities storage channels intelligence api workers simulator

.PHONY: install demo up test check bench bench-routing format clean

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

# Each prints figures of one run on this machine; the first eight take about twelve minutes together. Real logs and
# corpora are given by their paths: make bench-routing CALLS=DIR INCIDENTS=FILE, python bench/intents.py --help.
bench: install
	$(BIN)/python -m bench.conversation
	$(BIN)/python -m bench.intake
	$(BIN)/python -m bench.offer_latency
	$(BIN)/python -m bench.stand_in
	$(BIN)/python -m bench.dispatch
	$(BIN)/python -m bench.open_conversations
	$(BIN)/python -m bench.context
	$(BIN)/python -m bench.deadlines
	$(BIN)/python bench/routing_scale.py
	$(MAKE) bench-routing

bench-routing: install
	$(BIN)/python bench/routing_policies.py $(if $(CALLS),--calls $(CALLS)) $(if $(INCIDENTS),--incidents $(INCIDENTS))

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .baton .mypy_cache .ruff_cache .import_linter_cache
