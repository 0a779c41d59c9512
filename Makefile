# Everything a contributor needs; `make help` explains itself.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
BENCH = .venv-bench

.DEFAULT_GOAL := help
.PHONY: help demo digits lessons docs test lint types bench crash screenshots clean

help: ## say what each target does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint,chart,docs]'
	@touch $@

demo: $(VENV)/.installed ## set up, print a network's table, and let it read handwritten digits
	@$(BIN)/python scripts/demo.py

digits: $(VENV)/.installed ## train the network that comes with minidarknet anew, twice, to the same bytes
	@$(BIN)/python scripts/train_digits.py

lessons: $(VENV)/.installed ## make the notebooks of the course anew from its scripts, and run them (ONLY=03 for one)
	@$(BIN)/python scripts/make_lessons.py $(ONLY)
	$(BIN)/python -m pytest -q --nbmake $(if $(ONLY),lessons/$(ONLY)_*.ipynb,lessons)

docs: $(VENV)/.installed ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

test: $(VENV)/.installed ## set up and run all checks and tests, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/test_layers.py tests/test_golden_networks.py tests/test_gradients.py

lint: $(VENV)/.installed ## mend what ruff can mend, and show the rest
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed ## check the types
	$(BIN)/mypy

$(BENCH)/.installed: pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable . -r benchmarks/requirements.txt
	@touch $@

bench: $(BENCH)/.installed ## set up other engines in their own environment, and measure beside them (12 minutes; ARGS=--quick)
	@$(BENCH)/bin/python -m benchmarks.peers $(ARGS)

crash: $(VENV)/.installed ## kill training a hundred times, and see that it always ends with the same bits
	@$(BIN)/python scripts/crash.py --kills 100

screenshots: $(VENV)/.installed ## draw the README's picture anew
	@$(BIN)/python scripts/screenshots.py

clean: ## delete the virtual environments and all caches of this folder
	rm -rf $(VENV) $(BENCH) .pytest_cache .mypy_cache .ruff_cache .hypothesis site
