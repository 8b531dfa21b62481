# make mini         the recipe on the mini corpus, from nothing to a table of word error rates
# make test         all tests but the slow ones;  make test-slow  the slow ones;  TEST_ARGS="-k lattice -x" for either
# make lint         ruff, mypy and shellcheck
# make bench        speed of training, forward passes and decoding in one table (beside Kaldi's where KALDI_ROOT is set)
# make env          only install; the goals above do it when it is due
# make clean        caches and the recipe's output;  make distclean  the virtual environments too
# make lock         pin the newest fitting versions of requirements*.in (for maintainers; needs uv)
#
# STACK=torch2 behind any of them: torch 2 and numpy 2 in .venv-torch2 (docs/install.md). Then also PYTHON=python3.13 (3.11
# to 3.13), K2="..." (what pip is told to install k2 from: a wheel built for that torch), TORCH=torch==2.12.0 (another torch).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env mini test test-slow lint bench clean distclean lock FORCE

STACK ?= torch1
PYTHON ?=
K2 ?=
TORCH ?=
TEST_ARGS ?=
MINI_ARGS ?=
BENCH_ARGS ?=
UV ?= uv

ifeq ($(STACK),torch1)
  VENV := .venv
  LOCK := requirements.lock
  VERSIONS := 3.11
  ifneq ($(K2)$(TORCH),)
    $(error K2= and TORCH= are for STACK=torch2; the default stack has its own)
  endif
else ifeq ($(STACK),torch2)
  VENV := .venv-torch2
  LOCK := requirements-torch2.lock
  VERSIONS := 3.11 3.12 3.13
  # Without k2 the tests that are about k2 itself skip.
  PYTEST_ARGS := -p tests.support.without_k2
else
  $(error STACK must be torch1 or torch2, not $(STACK))
endif

# Written last, so that an interrupted installation is done again. It holds what was asked for: another PYTHON, TORCH or
# K2 is a reason to install anew, none is not.
READY := $(VENV)/.ready
ASKED := $(PYTHON) $(TORCH) $(K2)
NEW := $(filter-out $(if $(ASKED),$(shell cat $(READY) 2> /dev/null)),$(ASKED))

# As an activated environment: the steps that tests and run.sh start find the same Python.
in_venv = env VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

env: $(READY)

FORCE:

$(READY): $(LOCK) $(if $(NEW),FORCE)
	@for python in $(or $(PYTHON),$(VERSIONS:%=python%) python3); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' $(VERSIONS) \
	    2> /dev/null; then break; fi; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "make: no Python $(VERSIONS) with venv found; install it (Debian: python3.11-venv) or set PYTHON=/its/path" >&2; exit 1; \
	fi; \
	rm -f $@; "$$python" -m venv --clear $(VENV)
	@echo "Installing $(LOCK) into $(VENV): two to five minutes, 4 GB (6 while it is at work)"
	@mkdir $(VENV)/tmp; \
	( while sleep 10; do du -sm $(VENV) 2> /dev/null | awk '{ printf "  %.1f GB are here\n", $$1 / 1000 }' || true; done ) & size=$$!; \
	trap 'kill $$size' EXIT; \
	pip() { TMPDIR="$(CURDIR)/$(VENV)/tmp" $(VENV)/bin/python -m pip install -qq "$$@"; }; \
	pip --require-hashes --no-deps -r $(LOCK); \
	if [ $(STACK) = torch2 ]; then pip "$(or $(TORCH),$$(grep '^torch==' requirements-torch2.in))"; fi; \
	if [ -n '$(K2)' ]; then pip --no-deps $(K2); $(VENV)/bin/python -c 'import k2'; fi; \
	pip --no-deps --no-build-isolation -e .; \
	rm -rf $(VENV)/tmp
	@echo '$(ASKED)' > $@

mini: $(READY)
	cd egs/ami/s5 && $(in_venv) ./run.sh --corpus mini --toolkit python $(MINI_ARGS)

test: $(READY)
	$(in_venv) python -m pytest $(PYTEST_ARGS) -m "not slow" $(TEST_ARGS)

test-slow: $(READY)
	$(in_venv) python -m pytest $(PYTEST_ARGS) -m slow $(TEST_ARGS) || [ $$? -eq 5 ] # 5: none is marked slow

lint: $(READY)
	$(in_venv) ruff check .
	$(in_venv) ruff format --check .
	$(in_venv) mypy
	git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | \
	  xargs -0 -I{} find {} -type f -print0 | xargs -0 $(in_venv) shellcheck

bench: $(READY)
	PYTHONPATH=. $(in_venv) python benchmarks/ratios.py $(BENCH_ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	rm -rf egs/ami/s5/{data,exp,corpus}
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-torch2

# uv keeps versions already in a lock that still fit; `make lock LOCK_ARGS=--upgrade` takes newer ones. k2 then lists all
# its wheels again: keep the hash of the 3.11 wheel only (a test insists). torch and what only its CUDA build needs stay
# out of the torch 2 lock, see there.
COMPILE = $(UV) pip compile --quiet --no-header --python-version 3.11
lock:
	$(COMPILE) $(LOCK_ARGS) --generate-hashes requirements.in requirements-dev.in -o requirements.lock
	$(COMPILE) $(LOCK_ARGS) --generate-hashes --universal requirements-torch2.in requirements-dev.in -o requirements-torch2.lock \
	  $$(printf -- '--no-emit-package %s ' torch triton \
	     $$($(COMPILE) --universal --no-annotate requirements-torch2.in | sed -nE 's/^((nvidia|cuda)[^= ]*)==.*/\1/p'))
