# One virtual environment for everything; always resolved with constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
PACKAGE := pyproject.toml constraints.txt

.PHONY: demo test test-peers test-vllm slow bench docs train clean

demo: .venv/.installed-demo
	$(BIN)/steersman demo --out build/demo

test: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n 2 -m "not slow and not vllm"

# Compares with published packages, in an environment of its own; no part of `make test`.
test-peers: .venv-peers/.installed
	.venv-peers/bin/python -m pytest -m peers tests/peers

slow: .venv/.installed-dev
	$(BIN)/pytest -m slow

test-vllm: .venv-vllm/.installed
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 \
		.venv-vllm/bin/python -m pytest -n 2 --dist loadfile -m vllm tests/vllm

bench: .venv/.installed-dev
	$(BIN)/python benchmarks/run.py all

docs: .venv/.installed-docs
	$(BIN)/mkdocs build --strict --site-dir build/docs

train: .venv/.installed-demo
	$(BIN)/python -m steersman.windtunnel.train --out build/train

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv-vllm/.installed: .ci/vllm-env.sh constraints-vllm.txt pyproject.toml
	.ci/vllm-env.sh

.venv/.installed-%: $(PACKAGE) | .venv/bin/python
	$(INSTALL) --editable ".[$*]"
	touch $@

PEERS := tests/peers/requirements.txt tests/peers/requirements-no-deps.txt
.venv-peers/.installed: $(PACKAGE) $(PEERS)
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt \
		--editable ".[gguf]" --requirement tests/peers/requirements.txt
	.venv-peers/bin/python -m pip install --quiet --no-deps \
		--requirement tests/peers/requirements-no-deps.txt
	touch $@
