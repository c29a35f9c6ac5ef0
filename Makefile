# `make demo` and `make test` are complete on a machine with Python 3.11 and nothing else: they make .venv, install
# what requirements.lock pins, pull the models, and run. From the second time on they need no network.
#
#   PYTHON=python3.12   another interpreter for .venv
#   TORCH_INDEX=URL     where pip finds another build of torch, e.g. the CPU one (several GB smaller than the CUDA one)
#   ARGS="-k gate"      passed on to the demo, to pytest or to a benchmark

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.in)
MODELS := smollm2-135m-instruct all-minilm-l6-v2 en-core-web-sm
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
BENCHES := $(patsubst benchmarks/%.py,bench-%,$(filter-out %_rival.py,$(shell grep -l __main__ benchmarks/*.py)))

.PHONY: help install models demo test check format docs lock bench $(BENCHES)
.DELETE_ON_ERROR:

help:
	@echo "make demo    the whole loop on the bundled sample, under 5 minutes on 2 cores"
	@echo "make test    every test"
	@echo "make check   formatting, lint, types, import floors"
	@echo "make bench   every benchmark; one: $(or $(firstword $(BENCHES)),bench-NAME)"
	@echo "make format  lay the code out; make docs  write docs/reference.md; make lock  pin the packages anew"

demo: models
	$(OFFLINE) $(BIN)/luthier demo $(ARGS)

test: models
	$(OFFLINE) $(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python -m tools.reference

bench: $(BENCHES)

$(BENCHES): bench-%: models
	$(BIN)/python -m benchmarks.$* $(or $(ARGS),--json)

install: $(VENV)/.installed

# A model that is there is looked at, not fetched: this is quick, and needs no network.
models: $(VENV)/.installed
	@$(BIN)/luthier models pull $(MODELS) > /dev/null

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# The lock holds all but torch, so pip must not go looking for torch's place in it (--no-deps); `pip check` then asks
# whether anything is missing. Torch comes last and finds its own requirements there; a CUDA build adds NVIDIA's.
$(VENV)/.locked: requirements.lock requirements.in
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Luthier needs Python 3.11 or newer: make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "installing $$(grep -c == requirements.lock) packages that requirements.lock pins, then $(TORCH) ..."
	@$(BIN)/pip install -qq --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/pip install -qq $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@$(BIN)/pip check
	@touch $@

# Takes the newest of everything; without --upgrade it only adds what is missing.
lock: $(VENV)/.installed
	$(if $(TORCH_INDEX),PIP_EXTRA_INDEX_URL=$(TORCH_INDEX)) $(BIN)/python -m tools.lock $(or $(ARGS),--upgrade)
