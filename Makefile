# make run    set up if needed, then 100 phones train a split GPT-2
# make test   set up if needed, then lint, types and tests
# make setup  the set-up alone: .venv with the pinned versions of what a run needs
# make fast   compile the network's inner loop to C, in place: a run without training takes half as long (needs a C
#             compiler; whoever changes netmodels/ does it again, and `make slow-network` undoes it)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test setup lint types slow fast slow-network clean

run: setup
	$(BIN)/python cli.py run scenarios/100_phones.yaml

test: lint types
	$(BIN)/python -m pytest -q -n auto

lint: $(VENV)/.whole
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.whole
	$(BIN)/mypy

slow: $(VENV)/.whole
	$(BIN)/python -m pytest -q -m "slow and not gpu"

fast: $(VENV)/.whole
	$(BIN)/python netmodels/compile.py --quiet build_ext --inplace

slow-network:
	rm -rf build netmodels/*.so netmodels__mypyc*.so

setup: $(VENV)/.ready

# the tools of development, and what is optional, for the tests of it: the datasets library and the text metrics
$(VENV)/.whole: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,datasets,metrics]"
	touch $@

# torch comes first and alone: its CPU build where the index has one for this version
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Splitwire needs Python 3.11 or newer, this is ' + sys.version)"
	@echo "setting up $(VENV): a minute or two, 1.5 GB with torch's CPU build"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

clean: slow-network
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
