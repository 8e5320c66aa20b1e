# One command sets up, one runs the main job, one tests. Python 3.11 and make are all that is needed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test check chaos bench gpu-check clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@# torch first and alone: any other requirement that asks for it would pull a CUDA build of several GB
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[demo,onnx,test]'
	@touch $@

demo: setup
	$(BIN)/spotproof demo

test: setup check
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/lint-imports

chaos: setup
	CHAOS_KILLS=200 $(BIN)/python -m pytest -s tests/chaos/test_kills.py --timeout 1800

bench: setup
	$(BIN)/python -m benchmarks.kill_audit
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.embedding
	$(BIN)/python -m benchmarks.resume
	$(BIN)/python -m benchmarks.interruptions

gpu-check: setup
	$(BIN)/python -m benchmarks.gpu_check

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
