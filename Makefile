# Two commands: `make demo` does the set-up and the whole job on drawn images, `make test` does the set-up and the checks.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA   ?=
TESTS  ?=
# TensorFlow and the converter, whose pinned versions go with no others, and which needs Python 3.12.
KERAS_PYTHON ?= python3.12
KERAS_VENV    = .venv-keras

.PHONY: demo test test-keras bench models docs check clean

$(VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ocuseg needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) install -c constraints.txt -e '.[train,dev,openvino,ray,serve,annotations,medical,docs]'
	touch $@

demo: $(VENV)/.train          ## the whole job; DATA=folder does it on your own images
	$(BIN)/ocuseg demo $(if $(DATA),"$(DATA)")

check: $(VENV)/.dev           ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One worker for each core, and one thread in each: networks as small as the tests' gain nothing from more.
test: check                   ## everything that has to hold
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(TESTS)

$(KERAS_VENV)/.keras: pyproject.toml
	$(KERAS_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12) and "the converter needs Python 3.12; set KERAS_PYTHON=")'
	$(KERAS_PYTHON) -m venv $(KERAS_VENV)
	$(KERAS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install -e . 'onnx2tf[tensorflow]==2.6.9'
	touch $@

test-keras: $(VENV)/.dev $(KERAS_VENV)/.keras   ## docs/keras.md as it stands: bundles under TensorFlow and LiteRT
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/optional

# The peers' own environment, with the ordinary PyTorch of the registry; BENCH takes further words for the script.
PEERS_VENV = .venv-peers
ROWS      ?=
ROUNDS    ?=
BENCH     ?=

bench: $(VENV)/.dev           ## this project and its peers, timed in turns; ROWS=train-unet,cold-start chooses
	$(BIN)/python benchmarks/peers/run.py --peers $(PEERS_VENV) \
		$(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCH)

# Anybody can make the models that ship again; a stopped training goes on.
MODELS      ?= vessels-drawn vessels cataract-surgery cataract-lens
MODELS_DATA ?= ../shared/data

models: $(VENV)/.train        ## the models that ship, trained, measured and described: MODELS=names, MODELS_DATA=folder
	$(BIN)/python models/make.py $(MODELS) --data "$(MODELS_DATA)"

docs: $(VENV)/.dev            ## the documentation site, in build/docs; open build/docs/index.html
	$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet docs build/docs

clean:
	rm -rf $(VENV) $(KERAS_VENV) $(PEERS_VENV) build/docs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
