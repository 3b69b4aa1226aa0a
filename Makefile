# `make demo` and `make test` are all one needs; both make .venv where it is missing.
PYTHON ?= python3
VENV := .venv/bin/python
# Without it a torch thread per core fights with Ray's and vLLM's own processes (ten times slower on a busy two-core machine).
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test chaos lint format assets

help:  ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

venv:  ## the environment in .venv, made where it is missing (AURICLE_EXTRA=cpu|gpu, AURICLE_PYTHON=PATH)
	@command -v $(PYTHON) >/dev/null || { echo "environment: no $(PYTHON). Debian/Ubuntu: apt install python3 python3-venv python3-dev gcc" >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py

demo: venv  ## the main job on the embedded default (two cores: within a quarter of an hour), then where to look
	@$(VENV) -m pipelines.demo $(ARGS)

# Two processes: most tests wait for others (Ray, vLLM, Serve) to start. A file's tests stay together, the slow files come first.
test: venv  ## all tests, by two processes (ARGS="-k name" picks some; -n 0 for one)
	@echo "tests: pytest $(ARGS)"
	@$(VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: venv  ## kill, stop and fill up whatever a run is made of; loses nothing? (an hour; ARGS="--faults A,B --repeats 1", --help)
	@$(VENV) -m benchmarks.chaos $(ARGS)

lint: venv  ## ruff and mypy
	@echo "lint: ruff check, ruff format --check, mypy"
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy

format: venv  ## let ruff rewrite what it can
	@$(VENV) -m ruff check --fix .
	@$(VENV) -m ruff format .

assets: venv  ## make the shipped tiny listener and enhancer anew (about an hour on two cores)
	@$(VENV) -m pipelines.assets $(ARGS)
