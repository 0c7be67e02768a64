# Two commands on a fresh machine: `make quickstart` and `make test`. Both create and fill .venv themselves.

PYTHON ?= python3
# For an accelerator: make quickstart JAX='jax[cuda13]' (or 'jax[tpu]'), before .venv exists.
JAX ?= jax
WORKDIR ?= runs/quickstart
# How many processes the tests run in; a file's tests stay in one, with what they share.
TEST_PROCESSES ?= 2
OVERRIDES ?=

BIN := .venv/bin
JAX_VERSION := $(shell sed -n 's/^jax==//p' requirements.txt)
SCRIPTS := .ci/run $(wildcard launch/*.sh launch/*/*.sh launch/*/*.sbatch tests/launch/*.sh)

.PHONY: help quickstart test storm several-processes lowering tpu-compiler bare sky lint types format docs clean

help:
	@echo 'make quickstart   train three methods on the embedded data set, and show the result (WORKDIR=$(WORKDIR))'
	@echo 'make test         run the tests'
	@echo 'make storm        kill, stop, damage and misuse runs, for half an hour'
	@echo 'make several-processes   train with two processes, stop and kill them, and go on with others'
	@echo 'make lowering     run the tests that lower every program of a ResNet-50 for TPUs and GPUs, which none is needed for'
	@echo 'make tpu-compiler compile the updates for eight chips with the compiler of TPUs, and look at what they send'
	@echo 'make bare         install the package alone, without what trains, and run its tutorial'
	@echo 'make sky          ask SkyPilot itself about the tasks in launch/sky/'
	@echo 'make lint types   ruff, shellcheck, hadolint and mypy'
	@echo 'make format       ruff mends what it can'
	@echo 'make docs         build the documentation, site/index.html'

quickstart: .venv/installed
	$(BIN)/python launch/main.py --config=configs/quickstart.py --workdir=$(WORKDIR) $(OVERRIDES)

test: .venv/installed-dev
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

storm: .venv/installed-dev
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m storm -rA tests/storm

several-processes: .venv/installed-dev
	$(BIN)/python -m pytest -m several_processes -rA
lowering: .venv/installed-dev
	$(BIN)/python -m pytest -m lowering

# Not in .venv: a JAX that finds libtpu looks for TPUs. The variables say what a machine without one cannot be asked for.
tpu-compiler: .venv/installed-dev build/libtpu
	PYTHONPATH=build/libtpu JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 TPU_WORKER_HOSTNAMES=localhost \
	  TPU_ACCELERATOR_TYPE=v5litepod-8 $(BIN)/python -m pytest -m tpu_compiler

# The version that the extra `tpu` of the installed JAX asks for.
build/libtpu: requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ "$$($(BIN)/python -c 'import importlib.metadata as m; \
	  print(next(r.partition(";")[0] for r in m.requires("jax") if r.startswith("libtpu")))')"
	@touch $@

# `pip install .` in an environment of its own. -I keeps the checkout off the path: what was installed is what runs.
bare:
	rm -rf build
	$(PYTHON) -m venv build/bare
	build/bare/bin/python -m pip install --quiet --constraint requirements.txt .
	sed -n '/^```python$$/,/^```$$/{/^```/!p;}' docs/tutorials/explain_your_model.md > build/bare/page.py
	build/bare/bin/python -I build/bare/page.py

# SkyPilot is a hundred packages, so it has an environment of its own. The tests' settings in pyproject.toml need JAX.
sky: build/sky/installed
	build/sky/bin/python -m pytest --override-ini=addopts="-q --disable-warnings" --noconftest tests/launch/parsed_by_skypilot.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck $(SCRIPTS)
	$(BIN)/hadolint launch/docker/Dockerfile

types: .venv/installed-dev
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The variable silences an advertisement.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open site/index.html'

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "align-jax needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1);" \
	       "name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt '$(JAX)==$(JAX_VERSION)'
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

.venv/installed-docs: .venv/installed-dev requirements-docs.txt
	$(BIN)/python -m pip install --quiet -r requirements-docs.txt
	@touch $@

build/sky/installed: requirements-sky.txt
	$(PYTHON) -m venv --clear build/sky
	build/sky/bin/python -m pip install --quiet -r requirements-sky.txt
	@touch $@

clean:
	rm -rf .venv build site *.egg-info
