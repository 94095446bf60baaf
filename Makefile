# Everything happens in .venv/; `make run` and `make test` need Python >= 3.11 and a package index, no more.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: run test check bench soak simulator notebooks lock clean
.DELETE_ON_ERROR:

run: .venv/run.stamp
	@$(BIN)/python -m jobs.sample

test: .venv/test.stamp  # to see what takes long: $(BIN)/python -m pytest --durations=25
	@$(BIN)/python -m compileall -q engine jobs replay tests
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

check: .venv/test.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: .venv/test.stamp
	@$(BIN)/python -m tests.benchmarks

soak: .venv/test.stamp  # about three hours on two cores, one test needs Node.js; to repeat a schedule: python -m tests.exactly_once SEED
	@$(BIN)/python -m pytest -n 2 -m soak
	@TESTS_EXPLORE=1 $(BIN)/python -m pytest -n 2 -m "hypothesis and not soak"
	@$(BIN)/python -m tests.mutation

simulator: .venv/simulator.stamp
	@$(BIN)/execution-engine serve-simulator

notebooks: .venv/notebooks.stamp
	@echo "ready: open notebooks/ with $(CURDIR)/$(BIN)/python as the kernel, or run one:"
	@echo "  cd notebooks && ../$(BIN)/jupyter execute 01_a_day.ipynb --output=/tmp/01_a_day.ipynb"

lock: .venv/venv.stamp  # rewrites the lock files from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra build -q --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra build --extra simulator -c requirements.lock -q --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    -o replay/simulator/requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra build --extra simulator --extra notebooks -c requirements.lock \
	    -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    -o notebooks/requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra build --extra test -c requirements.lock -q --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o tests/requirements.lock
	@$(BIN)/uv pip compile --group documents --no-deps -q --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header -o tests/documents.lock

clean:
	rm -rf .venv

.venv/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 run")'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/run.stamp: .venv/venv.stamp requirements.lock pyproject.toml
	@echo "setting up .venv (once)"
	@$(PIP) -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --config-settings editable_mode=compat -e .
	@$(BIN)/python -m compileall -q engine jobs
	@touch $@

.venv/simulator.stamp: .venv/run.stamp replay/simulator/requirements.lock
	@echo "setting up the simulator (once)"
	@$(PIP) -r replay/simulator/requirements.lock
	@touch $@

.venv/notebooks.stamp: .venv/run.stamp notebooks/requirements.lock
	@echo "setting up the notebooks (once)"
	@$(PIP) -r notebooks/requirements.lock
	@touch $@

.venv/test.stamp: .venv/run.stamp tests/requirements.lock tests/documents.lock
	@echo "setting up the test tools (once)"
	@$(PIP) -r tests/requirements.lock
	@$(PIP) --no-deps -r tests/documents.lock
	@touch $@
