# Two commands: `make demo` does the set-up and the whole job on drawn images, `make test` does the set-up and the checks.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA   ?=
TESTS  ?=

.PHONY: demo test check clean

$(VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ocuseg needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) install -c constraints.txt -e '.[train,dev]'
	touch $@

demo: $(VENV)/.train          ## the whole job; DATA=folder does it on your own images
	$(BIN)/ocuseg demo $(DATA)

check: $(VENV)/.dev           ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One worker for each core, and one thread in each: networks as small as the tests' gain nothing from more.
test: check                   ## everything that has to hold
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(TESTS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
