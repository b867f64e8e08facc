# facelab: `make help` lists what can be done. Only python3, make and a package index are needed.
SHELL := /bin/sh
PYTHON ?= python3
PROFILE ?= full
JOBS ?= 2
ARGS ?=
# the least share of lines that must run, in percent; a part of the tests (ARGS) has none unless it is given
COVERAGE ?= $(if $(ARGS),,85)
BIN := .venv/bin

# Foreign Python settings break or slow the environments (imports of TensorFlow take 3 to 4 times as long).
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport PYTHONHOME

# Nothing is written into the user's home: kernels, notebooks and libraries keep their files under .cache.
export IPYTHONDIR := $(CURDIR)/.cache/ipython
export JUPYTER_CONFIG_DIR := $(CURDIR)/.cache/jupyter/config
export JUPYTER_DATA_DIR := $(CURDIR)/.cache/jupyter/data
export JUPYTER_RUNTIME_DIR := $(CURDIR)/.cache/jupyter/runtime
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export NUMBA_CACHE_DIR := $(CURDIR)/.cache/numba
export KERAS_HOME := $(CURDIR)/.cache/keras
# JupyterLab asks npm, where it is installed, for language servers
export npm_config_cache := $(CURDIR)/.cache/npm

.DEFAULT_GOAL := help
.PHONY: help setup setup-main reproduce test test-slow bench lint docs lab doctor lock clean distclean

help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make reproduce PROFILE=quick JOBS=2 ARGS='--only 01_data_and_models'"
	@echo "  FACELAB_MIRROR=DIR_OR_URL make reproduce    # models from a closed network's mirror"

setup: setup-main  ## create both environments (done by every target that needs them)
	@$(PYTHON) requirements/bootstrap.py modelmaker

setup-main:
	@mkdir -p "$(IPYTHONDIR)" "$(JUPYTER_CONFIG_DIR)" "$(JUPYTER_DATA_DIR)" "$(JUPYTER_RUNTIME_DIR)" \
	  "$(MPLCONFIGDIR)" "$(NUMBA_CACHE_DIR)" "$(KERAS_HOME)"
	@$(PYTHON) requirements/bootstrap.py main

reproduce: setup  ## run all notebooks headless and write reports/index.html (PROFILE=full|quick)
	@$(BIN)/facelab reproduce --profile $(PROFILE) --jobs $(JOBS) $(ARGS)

test: setup  ## run everything that matters and count the lines that ran (9 minutes in a fresh clone)
	@$(if $(COVERAGE),FACELAB_COVERAGE=$(COVERAGE)) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup  ## run the slow tests too; each documented line is a whole process, imports included
	@FACELAB_TEST_WHOLE_PROCESSES=1 $(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

bench: setup-main  ## time this checkout against an earlier build (ARGS='--base COMMIT --rounds 15')
	@$(BIN)/python tests/bench/compare_builds.py $(ARGS)

lint: setup-main  ## format, rules, types, spelling, wording, duplicates, dead code and the form of notebooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/codespell
	@$(BIN)/python docs/tools/prose.py --most 15
	@$(BIN)/python docs/tools/duplicates.py --most 5
	@$(BIN)/python docs/tools/unused.py
	@$(BIN)/python -m facelab.reproduce.canonical --check notebooks/*.ipynb
	@$(BIN)/basedpyright --level error

docs: setup-main  ## build the docs site into site/, strictly and offline
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lab: setup  ## open JupyterLab on the overview, with both kernels
	@$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/00_overview.ipynb \
	  --ServerApp.contents_manager_class=facelab.session._contents.Notebooks \
	  --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ARGS)

doctor: setup  ## say what is installed, what is missing, and how to fix it
	@$(BIN)/facelab doctor $(ARGS)

lock: setup-main  ## resolve requirements/*.in into the lock files again
	@$(PYTHON) requirements/bootstrap.py lock

clean:  ## remove reports and caches; keep environments, models and data
	rm -rf reports site docs/notebooks docs/reference/api docs/reference/commands .cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf .venv .venv-modelmaker .tools
