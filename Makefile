# treaty-stance: `make demo` runs the main job, `make test` proves it. Each sets up what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LS_VENV := .venv-label-studio
OUTPUT ?= demo
PIP_OPTIONS := --disable-pip-version-check --no-input -q
export PIP_NO_WARN_SCRIPT_LOCATION := 1

.PHONY: help demo test quick lint format setup constraints clean
help:
	@echo "make demo    set up, train on the reference corpus, label unseen coverage, write demo/report.html"
	@echo "             (make demo INPUT=folder labels that folder as well)"
	@echo "make test    set up, run every test, with the real Label Studio and a real browser"
	@echo "make quick   the offline unit tests, under two minutes"
	@echo "make lint    ruff, mypy --strict, the import contract"

demo: $(VENV)/.installed
	$(BIN)/treaty-stance demo --output $(OUTPUT) $(if $(INPUT),--input $(INPUT))

test: $(VENV)/.installed-dev $(LS_VENV)/.installed .browser
	$(BIN)/pytest

quick: $(VENV)/.installed-dev
	$(BIN)/pytest -m "not label_studio and not browser and not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

setup: $(VENV)/.installed

# A stamp is written last, so that an install which was interrupted is taken up again by the next call. The stamp's name
# holds no version: a changed pyproject.toml or constraints.txt makes it stale, and pip then installs only what differs.
$(VENV)/bin/pip:
	@echo "Making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing treaty-stance and what it stands on (3 minutes or so)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt setuptools torch==2.13.0
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests and checks"
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt --no-build-isolation -e ".[dev]"
	@touch $@

$(LS_VENV)/.installed: constraints-label-studio.txt
	@echo "Installing Label Studio into $(LS_VENV) (2 minutes or so)"
	@$(LS_VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(LS_VENV)
	@$(LS_VENV)/bin/pip install $(PIP_OPTIONS) -c constraints-label-studio.txt label-studio==1.23.2
	@touch $@

# Chromium comes from the system's packages; where it is there already nothing happens.
.PHONY: .browser
.browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  echo "Installing Chromium"; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

constraints: $(VENV)/.installed-dev
	{ head -n 1 constraints.txt; $(BIN)/pip freeze --all --exclude-editable | grep -v "^pip==" | sed 's/^\(torch==[0-9.]*\)+.*/\1/' | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) $(LS_VENV) demo build *.egg-info
