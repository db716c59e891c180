# make setup   .venv with everything, pinned by constraints.txt, and the embedded Triton
# make demo    run scenarios/quickstart.yaml for real; HTML and PDF report
# make test    set up and run all tests that this machine can run
# make lint    ruff and mypy
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
EXTRAS := torch,onnxruntime,triton,stress,search,dev

.PHONY: setup demo test lint format browser clean

setup: $(STAMP)

# torch first and alone: its version in constraints.txt may resolve to a CPU build
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/harness triton install
	touch $@

demo: setup
	$(BIN)/harness run scenarios/quickstart.yaml

test: setup browser
	$(BIN)/python -m pytest

# Chromium for the browser tests: from apt where that is allowed, else those tests skip and say so
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get install -y -qq chromium >/dev/null 2>&1 || \
	      { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }; }; } || \
	  echo "no Chromium: the browser tests will be skipped (apt-get install chromium)"

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
