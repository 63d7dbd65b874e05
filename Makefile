# Parity's commands. `make demo` and `make test` need Python 3.11+ and nothing else: they build .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE := 1

.PHONY: help install demo test test-all check peers peers-tools clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## build .venv with every extra that tests and demo need

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

check: $(STAMP) ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(STAMP) ## the main job on an embedded default: no network, no key, no GPU
	@$(BIN)/parity demo

test: check ## everything that fits in 15 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 -m "not peers"

test-all: check ## also what needs .venv-peers
	$(BIN)/python -m pytest -n 2

peers: ## build .venv-peers, the tools we measure against (idempotent)
	$(PYTHON) benchmarks_perf/peers.py

peers-tools: ## also compile llama.cpp's quantizer to compare with (cmake; about 6 minutes, once)
	$(PYTHON) benchmarks_perf/peers.py --tools

clean: ## remove the environments and caches
	rm -rf $(VENV) .venv-peers .mypy_cache .pytest_cache .ruff_cache
