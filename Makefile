# A thin alias: everything is in scripts/make.py, which needs nothing but Python 3.11 to 3.13.
# Settings are environment variables: `make demo SEED=1`, `make test AMAGO_PYTHON=python3.12`.

PYTHON := $(or $(AMAGO_PYTHON),python3)
TARGETS := setup demo check test test-light bench clean

.PHONY: help $(TARGETS)

help:
	@$(PYTHON) scripts/make.py --help

$(TARGETS):
	@$(PYTHON) scripts/make.py $@
