# make setup   .venv with everything, pinned by constraints.txt, and the embedded Triton
# make demo    run scenarios/quickstart.yaml for real; HTML and PDF report
# make test    set up and run all tests that this machine can run; ARGS go to pytest
# make slow    the long tests, which make test leaves out
# make assault random kills of running benchmarks, each resumed (minutes; docs/reliability.md)
# make audit   known vulnerabilities of what is pinned (needs the network; docs/security.md)
# make docs    the documentation as a site, in site/; a broken link is an error
# make package  the wheel, built, installed alone and run (needs the network; ARGS are extras)
# make lint    ruff, mypy, import-linter (one way down), vulture (dead code), make audit once a day
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
EXTRAS := torch,onnxruntime,triton,tensorrt,stress,search,dev
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
APT    := apt-get -o DPkg::Lock::Timeout=300 -qq
ARGS   ?=

.PHONY: setup demo test slow assault audit docs package lint format browser prometheus strace pin-images clean

setup: $(STAMP)

# torch first and alone: its version in constraints.txt may resolve to a CPU build
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed: make PYTHON=python3.11")'
	@echo "setting up $(VENV): a few minutes and 3 GB, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/harness triton install
	@touch $@

demo: setup
	$(BIN)/harness run scenarios/quickstart.yaml

test: setup browser prometheus strace
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

slow: setup
	$(BIN)/python -m pytest -m slow $(ARGS)

assault: setup
	$(BIN)/python tests/assault/assault.py $(ARGS)

# What tests need from Debian, where apt is allowed; else those tests skip and say so:
# Chromium (the browser's), Prometheus (the dashboard's), strace (who is called by a run)
apt_tool = @for name in $(2); do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  echo "installing $(1) for the tests"; \
	  $(APT) install -y $(3) $(1) >/dev/null 2>&1 || \
	  { $(APT) update && $(APT) install -y $(3) $(1) >/dev/null; } && exit 0; \
	fi; \
	echo "no $(1): its tests will be skipped (apt-get install $(1))"

browser:
	$(call apt_tool,chromium,chromium chromium-browser google-chrome google-chrome-stable)

prometheus:
	$(call apt_tool,prometheus,prometheus,--no-install-recommends)

strace:
	$(call apt_tool,strace,strace,--no-install-recommends)

audit:
	@$(PYTHON) tests/support/audit.py $(ARGS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

package:
	@$(PYTHON) tests/support/packaged.py $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/vulture
	$(BIN)/mypy
	@$(BIN)/python tests/support/audit.py --once-a-day

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pin-images:  # the digests of all images, from their registries
	docker/pin.sh

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
