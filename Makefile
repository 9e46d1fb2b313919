# One door for developers. Each target sets itself up; `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
SET_UP := .venv/.set-up
# Tests run side by side, a file at a time, each process on one core: `make test WORKERS=8` where there are more.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

.PHONY: setup demo test check-all lint types imports docs bench chromium clean

setup: $(SET_UP)

$(SET_UP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(SET_UP)

demo: $(SET_UP)
	$(BIN)/preceptor demo --out demo

# Chromium shows the pages to the tests; nothing is skipped for want of it.
chromium: $(SET_UP)
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium >/dev/null)

test: $(SET_UP) chromium
	$(PYTEST) -m "not slow"

check-all: $(SET_UP) chromium
	HYPOTHESIS_PROFILE=searching $(PYTEST)

lint: $(SET_UP)
	$(BIN)/ruff check src tests benches docs examples
	$(BIN)/ruff format --check src tests benches docs examples

types: $(SET_UP)
	$(BIN)/mypy

imports: $(SET_UP)
	$(BIN)/lint-imports

# The page of commands is their help, that of access is what every route answers; a test fails when they aren't.
docs: $(SET_UP)
	$(BIN)/python docs/generate_commands.py
	$(BIN)/python docs/generate_access.py

bench: $(SET_UP)
	$(BIN)/python -m benches

clean:
	rm -rf .venv demo build dist
