# make mini         the recipe on the mini corpus, from nothing to a table of word error rates
# make test         all tests but the slow ones;  make test-slow  the slow ones;  TEST_ARGS="-k lattice -x" for either
# make test-torch2  the tests that need no k2, with torch 2 and numpy 2
# make lint         ruff, mypy and shellcheck
# make bench        frames per second of training and forward passes (beside Kaldi's where KALDI_ROOT is set)
# make clean        caches and the recipe's output;  make distclean  the virtual environments too
# make lock         pin the newest fitting versions of requirements*.in (for maintainers; needs uv)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env mini test test-slow test-torch2 lint bench clean distclean lock

VENV := .venv
VENV2 := .venv-torch2
# Written last, so that an interrupted installation is done again.
READY := $(VENV)/.ready
READY2 := $(VENV2)/.ready
TEST_ARGS ?=
MINI_ARGS ?=
BENCH_ARGS ?=
UV ?= uv

# As an activated environment: the steps that tests and run.sh start find the same Python.
in_venv = env VIRTUAL_ENV="$(CURDIR)/$(1)" PATH="$(CURDIR)/$(1)/bin:$$PATH"

define make_venv
for python in $${PYTHON:-python3.11 python3}; do \
  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null; then break; fi; \
  python=; \
done; \
if [ -z "$$python" ]; then echo "make: no Python 3.11 with venv found; install it (Debian: python3.11-venv) or set PYTHON=/its/path" >&2; exit 1; fi; \
rm -f $(1)/.ready; "$$python" -m venv --clear $(1)
endef

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

env: $(READY)

$(READY): requirements.lock
	@$(call make_venv,$(VENV))
	@echo "Installing requirements.lock into $(VENV): two to five minutes, 4 GB"
	$(VENV)/bin/python -m pip install -qq --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

$(READY2): requirements-torch2.in requirements-torch2.lock
	@$(call make_venv,$(VENV2))
	$(VENV2)/bin/python -m pip install -qq --require-hashes --no-deps -r requirements-torch2.lock
	$(VENV2)/bin/python -m pip install -qq "$$(grep '^torch==' requirements-torch2.in)"
	$(VENV2)/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

mini: $(READY)
	cd egs/ami/s5 && $(call in_venv,$(VENV)) ./run.sh --corpus mini --toolkit python $(MINI_ARGS)

test: $(READY)
	$(call in_venv,$(VENV)) python -m pytest -m "not slow" $(TEST_ARGS)

test-slow: $(READY)
	$(call in_venv,$(VENV)) python -m pytest -m slow $(TEST_ARGS) || [ $$? -eq 5 ] # 5: none is marked slow

test-torch2: $(READY2)
	$(call in_venv,$(VENV2)) python -m pytest -p tests.support.without_k2 -m "not slow" $(TEST_ARGS)

lint: $(READY)
	$(call in_venv,$(VENV)) ruff check .
	$(call in_venv,$(VENV)) ruff format --check .
	$(call in_venv,$(VENV)) mypy
	git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | \
	  xargs -0 -I{} find {} -type f -print0 | xargs -0 $(call in_venv,$(VENV)) shellcheck

bench: $(READY)
	$(call in_venv,$(VENV)) python benchmarks/ce.py $(BENCH_ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	rm -rf egs/ami/s5/{data,exp,corpus}
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(VENV2)

# uv keeps versions already in a lock that still fit; `make lock LOCK_ARGS=--upgrade` takes newer ones. k2 then lists all
# its wheels again: keep the hash of the 3.11 wheel only (a test insists). torch and what only its CUDA build needs stay
# out of the torch 2 lock, see there.
lock:
	$(UV) pip compile $(LOCK_ARGS) --quiet --generate-hashes --no-header --python-version 3.11 requirements-dev.in -o requirements.lock
	$(UV) pip compile $(LOCK_ARGS) --quiet --generate-hashes --no-header --python-version 3.11 requirements-torch2.in -o requirements-torch2.lock \
	  $$(printf -- '--no-emit-package %s ' torch triton cuda-bindings cuda-pathfinder cuda-toolkit \
	     $$($(UV) pip compile --quiet --python-version 3.11 --no-header --no-annotate requirements-torch2.in | sed -n 's/^\(nvidia[^=]*\)==.*/\1/p'))
