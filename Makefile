# Everything that is done with this repository. Needs make and a Python >= 3.11 with venv and pip, nothing else:
#
#     make run                    the main experiments, results in results/
#     make test PY=python3.13     all tests, on that interpreter
#     make help                   the other targets

PY ?= python3
VENV ?= .venv
RESULTS ?= results
WORKERS ?= 2
TRIAL ?= build/trial
MAIN_EXPERIMENTS := phase_portraits flow_vs_updates

PYTHON := $(VENV)/bin/python
# The environment is remade when PY becomes another version.
PY_VERSION := $(shell $(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
MADE := $(VENV)/.made-python$(PY_VERSION)

.PHONY: help run test test-fast test-browser lint format types layers docs notebooks figures wheel clean
# Two pip at once in one environment break it.
.NOTPARALLEL:
.SECONDARY:

help:
	@echo "make run        run the main experiments ($(MAIN_EXPERIMENTS)) into $(RESULTS)/"
	@echo "make test       run all tests"
	@echo "make test-fast  run the tests that are not marked slow"
	@echo "make test-browser  run the tests of pages, in Chromium, which has to be installed"
	@echo "make lint       check style (ruff); make format repairs what it can"
	@echo "make types      check types (basedpyright)"
	@echo "make layers     check which group imports which (import-linter)"
	@echo "make docs       build the documentation into site/"
	@echo "make notebooks  make and execute the notebooks of the tutorials, in docs/notebooks/"
	@echo "make wheel      build wheel and sdist, and try both in empty environments"
	@echo "make figures    make every figure of the documentation again"
	@echo "make clean      remove everything that was made, results/ excepted"
	@echo "Variables: PY=python3.13 (interpreter), VENV=.venv, RESULTS=results, WORKERS=2 (test processes)"

$(MADE):
	$(PY) -m venv --clear $(VENV)
	@touch $@

# $(VENV)/.has-NAME: the package, editable, with the extra NAME.
$(VENV)/.has-%: pyproject.toml $(MADE)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@

run: $(VENV)/.has-experiments
	@set -e; for name in $(MAIN_EXPERIMENTS); do \
		echo "== $$name"; \
		$(PYTHON) -m experiments.$$name --out $(RESULTS)/$$name; \
	done
	@echo "Results are in:"
	@for name in $(MAIN_EXPERIMENTS); do echo "  $(RESULTS)/$$name"; done

test: $(VENV)/.has-test
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --durations=20

test-fast: $(VENV)/.has-test
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not browser"

# `make test-browser BUILT=yes` takes the documentation as it was built before.
test-browser: $(VENV)/.has-browser $(if $(BUILT),,docs)
	$(PYTHON) -m pytest -m browser tests/browser

lint: $(VENV)/.has-lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(VENV)/.has-lint
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types: $(VENV)/.has-lint $(VENV)/.has-experiments
	$(VENV)/bin/basedpyright --pythonpath $(PYTHON)

layers: $(VENV)/.has-lint
	$(VENV)/bin/lint-imports

docs: $(VENV)/.has-docs
	$(PYTHON) docs/explorers.py
	$(PYTHON) docs/pictures.py
	$(PYTHON) docs/notebooks.py
	$(VENV)/bin/zensical build --clean --strict

# What a user gets: sdist, the wheel that is made of it, and from the wheel README's example and an experiment.
wheel:
	rm -rf dist $(TRIAL)
	$(PY) -m venv $(TRIAL)/tools
	$(TRIAL)/tools/bin/python -m pip install --quiet --disable-pip-version-check build
	$(TRIAL)/tools/bin/python -m build
	$(PY) -m venv $(TRIAL)/venv
	$(TRIAL)/venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[experiments]"
	sed -n '/^```python$$/,/^```$$/{/^```/d;p;}' README.md >$(TRIAL)/example.py
	cd $(TRIAL) && venv/bin/python example.py && venv/bin/gan-ode spectra --quick --out results
	rm -rf $(TRIAL)

notebooks: $(VENV)/.has-notebooks
	$(PYTHON) docs/notebooks.py --run
	$(PYTHON) docs/notebooks/dirac_gan.py

figures: $(VENV)/.has-experiments
	$(PYTHON) docs/figures.py

clean:
	rm -rf $(VENV) site build dist .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find gan_ode experiments tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
