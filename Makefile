# One door for developers. Each target sets itself up; `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
SET_UP := .venv/.set-up
# Tests run side by side, each process on one core: `make test WORKERS=8` where there are more. A worker that is done takes over half of
# what another has left; files stay together otherwise, since the order is random by file first. Python keeps what it has compiled, even
# where the environment says otherwise: every process that a test starts would compile the package again.
WORKERS ?= 2
# And in random order, by a seed that pytest prints: `make test SEED=1234` is that order again.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(if $(SEED),--randomly-seed=$(SEED))
NEWEST := .venv-newest

.PHONY: setup demo test integration check check-all lint types imports docs bench upgrade chromium clean

setup: $(SET_UP)

$(SET_UP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(SET_UP)

demo: $(SET_UP)
	$(BIN)/preceptor demo --out demo

# Chromium shows the pages to the tests; nothing is skipped for want of it.
chromium: $(SET_UP)
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium >/dev/null)

# The first tier: in this process, without a browser.
test: $(SET_UP)
	$(PYTEST) -m "not slow and not integration"

integration: $(SET_UP) chromium
	$(PYTEST) -m "integration and not slow"

# The second tier; with `make test` it is what must be green before a change lands.
check: integration lint types imports

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

# Take the newest release of everything, and keep it as the constraints once both tiers of tests have passed on it.
# torch and its companions stay out: which build is right (CPU, CUDA) depends on the machine, and pyproject.toml says which range is.
upgrade:
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $(NEWEST)/.set-up
	$(MAKE) test integration types BIN=$(NEWEST)/bin SET_UP=$(NEWEST)/.set-up
	(grep '^#' constraints.txt && $(NEWEST)/bin/python -m pip freeze --all --exclude-editable | grep -viE '^(torch|triton|nvidia-|cuda-)') > $(NEWEST)/constraints.txt
	mv $(NEWEST)/constraints.txt constraints.txt
	rm -rf $(NEWEST)

clean:
	rm -rf .venv $(NEWEST) demo build dist
