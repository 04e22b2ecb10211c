# make run    set up if needed, then 100 phones train a split GPT-2
# make test   set up if needed, then lint, types and tests
# make setup  the set-up alone: .venv with the pinned versions of what a run needs
# make fast   compile the network's inner loop to C once more, in place: set-up does it where there is a C compiler, and
#             every target here does it again when netmodels/ has been edited; `make slow-network` undoes it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/python netmodels/compile.py --quiet build_ext --inplace --force

.PHONY: run test setup lint types slow fast slow-network clean

run: setup
	$(BIN)/python cli.py run scenarios/100_phones.yaml

test: lint types
	$(BIN)/python -m pytest -q -n auto
	SPLITWIRE_NETWORK=sources $(BIN)/python -m pytest -q -n auto tests/netmodels

lint: $(VENV)/.whole
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.whole
	$(BIN)/mypy

slow: $(VENV)/.whole
	$(BIN)/python -m pytest -q -m "slow and not gpu"

fast: $(VENV)/.tools
	$(COMPILE)
	touch $(VENV)/.network

slow-network:
	rm -rf build netmodels/*.so netmodels__mypyc*.so

# the network is compiled while pip unpacks torch
setup:
	@$(MAKE) --jobs=2 --silent --no-print-directory $(VENV)/.ready $(VENV)/.network

# the tools of development, and what is optional, for the tests of it: the datasets library and the text metrics
$(VENV)/.whole: $(VENV)/.ready | $(VENV)/.network
	$(PIP) -c constraints.txt -e ".[dev,datasets,metrics]"
	touch $@

# torch comes first and alone: its CPU build where the index has one for this version
$(VENV)/.ready: $(VENV)/.tools
	@echo "2 of 3: torch, 1.2 GB with its CPU build; it takes longest"
	$(PIP) torch==2.13.0
	@echo "3 of 3: the other packages"
	$(PIP) -c constraints.txt -e .
	touch $@

# where that fails, for want of a C compiler, the network runs from its sources, a quarter as fast
$(VENV)/.network: $(VENV)/.tools $(wildcard netmodels/*.py)
	@$(COMPILE) >$(VENV)/network.log 2>&1 || echo "the network is not compiled, see $(VENV)/network.log: it runs from its sources"
	touch $@

$(VENV)/.tools: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Splitwire needs Python 3.11 or newer, this is ' + sys.version)"
	@echo "setting up $(VENV), a minute or two. 1 of 3: what compiles the network, which goes on beside the rest"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt mypy setuptools
	touch $@

clean: slow-network
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
