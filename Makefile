# Every command a person or a machine needs. `make run` and `make test` install what they lack.
SHELL := /bin/bash
PYTHON := /usr/bin/python3
BIN := .venv/bin
STAMP := .venv/.installed
PEERS := .venv/.peers

.PHONY: run test parity check fix proto bench install lock host test-vm clean

run: install host            ## install, start the daemon, run a real container, show its output
	scripts/demo

test: $(PEERS) host check        ## every test: lint, types, contracts, unit, contract, integration, interop, e2e
	$(BIN)/python -m pytest -q tests

check: install               ## lint, types and layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell README.md ARCHITECTURE.md pycontainerd shim snapshotter ctr tests benchmarks proto deploy scripts
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

fix: install                 ## format, and mend what can be mended mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

parity: $(PEERS) host        ## the behavioural suite on Debian's docker and on pyctr, side by side
	PYCONTAINERD_PARITY=1 $(BIN)/python -m pytest -q tests/parity

proto: install               ## regenerate pycontainerd/api and pycontainerd/wire/messages
	$(BIN)/python proto/generate.py

bench: $(PEERS) host         ## time us and the peers in one run; prints ratios
	$(BIN)/python -m benchmarks.main

test-vm: install             ## boot a Debian 12 with systemd and cgroup v2, and run the smoke suite inside (slow)
	scripts/test-vm

install: $(STAMP)            ## Debian packages and .venv, with .venv/bin/pycontainerd and .venv/bin/pyctr

$(PEERS): $(STAMP)
	PYTHON=$(PYTHON) scripts/install --peers
	touch $@

host:                        ## what the kernel needs before containers run here
	scripts/prepare-host

$(STAMP): requirements.txt pyproject.toml scripts/install
	PYTHON=$(PYTHON) scripts/install
	touch $@

lock: install                ## pin requirements.in, with hashes and without naming a registry
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-header \
		--strip-extras --allow-unsafe -o requirements.txt requirements.in

clean:
	rm -rf .venv .build .mypy_cache .ruff_cache .hypothesis
