# Two commands for someone new, with nothing but Python 3.11+ and make:
#   make convert PDF=path/to/paper.pdf   converts one PDF on the CPU; the last line on stdout is the Markdown's path
#   make test                            makes the environment and runs every test
# and one for whoever changes code:
#   make check                           formatting, lint, types, layers and documents; all run, all failures shown

PYTHON ?= python3
PDF ?= examples/digital.pdf
PYTEST_ARGS ?=  # for a part of the tests: make test PYTEST_ARGS="tests/unit --no-cov"

export PDF

# What cannot be seen from the age of a file: the folder was moved, or another Python was asked for by name.
ifneq ($(shell cat .venv/made-in 2>/dev/null),$(CURDIR))
remake := FORCE
endif
ifneq ($(origin PYTHON),file)
remake := FORCE
endif

define need_python
@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
  echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || { \
  echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1), and Python 3.11 to 3.14 is needed: make PYTHON=/path/to/python3.12" >&2; exit 1; }
endef

.PHONY: help convert test check environment test-environment clean FORCE

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

convert: .venv/base.stamp
	@.venv/bin/python scripts/convert_one.py

test: .venv/test.stamp
	@sh scripts/ci/install-system-parts.sh
	@.venv/bin/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90 $(PYTEST_ARGS)

check: .venv/test.stamp
	@.venv/bin/python scripts/check.py

environment: .venv/base.stamp

test-environment: .venv/test.stamp

.venv/base.stamp: pdm.lock pyproject.toml $(remake)
	$(need_python)
	@"$(PYTHON)" scripts/environment.py base

.venv/test.stamp: pdm.lock pyproject.toml $(remake)
	$(need_python)
	@"$(PYTHON)" scripts/environment.py test

clean:
	@rm -rf .venv .tools build .pdm-build .pdm-python .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
