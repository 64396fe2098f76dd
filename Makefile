# make demo   the whole job on the bundled default: a table and a report
# make test   the tests
# make check  lint, types, the import contract
#
# Everything runs in an environment of its own, .venv. TORCH picks another build of torch
# (for example TORCH='torch==2.13.0'), PYTHON another interpreter (3.11 or newer).

PYTHON ?= python3
TORCH ?= torch
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@# without its torchvision, which fits no CPU build of torch: the tests stand in for that
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'torch-fidelity>=0.4'
	touch $@

demo: install
	$(BIN)/deme run digits

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) runs

# The main job end to end at a reduced size, then once more: the second finds all of it done.
.PHONY: demo-small
demo-small: install
	rm -rf runs/small
	$(BIN)/deme run digits -o runs/small $(SMALL)
	$(BIN)/deme run digits -o runs/small $(SMALL) --quiet
SMALL := --set decouple.steps=40 --set search.images=100 --set search.evaluations=6 \
	--set evaluate.images=200 --set evaluate.seeds=[2000,2001,2002]
