# treaty-stance: `make demo` runs the main job, `make test` proves it. Each sets up what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LS_VENV := .venv-label-studio
OUTPUT ?= demo
PIP_OPTIONS := --disable-pip-version-check --no-input -qq
export PIP_NO_WARN_SCRIPT_LOCATION := 1

.PHONY: help demo test quick lint gate format setup constraints clean
help:
	@echo "make demo    set up, train on the reference corpus, label unseen coverage, write demo/report/report.html"
	@echo "             (make demo INPUT=folder labels that folder as well)"
	@echo "make test    set up, run every test, with the real Label Studio and a real browser"
	@echo "make quick   the offline unit tests, under two minutes"
	@echo "make lint    ruff, mypy --strict, the import contract"
	@echo "make gate    train the shipped recipe and compare its figures with the floors in benchmarks/gate.json"
	@echo "             (make gate BUNDLE=folder compares a bundle that is there already)"

demo: $(VENV)/.installed
	$(BIN)/treaty-stance demo --output $(OUTPUT) $(if $(INPUT),--input $(INPUT))

test: $(VENV)/.installed-dev $(LS_VENV)/.installed .browser .postgres
	$(BIN)/pytest -n auto --maxprocesses 4 -m "not label_studio and not browser"
	$(BIN)/pytest -m "label_studio or browser"

quick: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --maxprocesses 4 -m "not label_studio and not browser and not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

gate: $(VENV)/.installed
	$(BIN)/python -m pipelines.gate $(if $(BUNDLE),--bundle $(BUNDLE))

format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

setup: $(VENV)/.installed

# A stamp is written when an install is whole. While one runs, a file `.unfinished` lies in the environment: the next call of
# make finds it, throws the environment away and makes it anew, since half an install cannot be trusted.
ifneq ($(wildcard $(VENV)/.unfinished),)
  $(info The last install was interrupted: making $(VENV) anew)
  $(shell rm -rf $(VENV))
endif
ifneq ($(wildcard $(LS_VENV)/.unfinished),)
  $(info The last install was interrupted: making $(LS_VENV) anew)
  $(shell rm -rf $(LS_VENV))
endif

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "Installing treaty-stance and what it stands on into $(VENV) (3 minutes or so)"
	@mkdir -p $(VENV) && touch $(VENV)/.unfinished
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt setuptools torch==2.13.0
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt --no-build-isolation -e .
	@rm $(VENV)/.unfinished && touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests and checks"
	@touch $(VENV)/.unfinished
	@$(BIN)/pip install $(PIP_OPTIONS) -c constraints.txt --no-build-isolation -e ".[dev]"
	@rm $(VENV)/.unfinished && touch $@

LS_CONSTRAINTS := annotation/label-studio/constraints.txt

$(LS_VENV)/.installed: $(LS_CONSTRAINTS)
	@echo "Installing Label Studio into $(LS_VENV) (2 minutes or so)"
	@mkdir -p $(LS_VENV) && touch $(LS_VENV)/.unfinished
	@[ -x $(LS_VENV)/bin/pip ] || $(PYTHON) -m venv $(LS_VENV)
	@$(LS_VENV)/bin/pip install $(PIP_OPTIONS) -c $(LS_CONSTRAINTS) label-studio==1.23.2
	@rm $(LS_VENV)/.unfinished && touch $@

# Chromium comes from the system's packages, and where these do not give it, from Playwright; where it is there already
# nothing happens.
.PHONY: .browser
.browser: $(VENV)/.installed-dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  echo "Installing Chromium"; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || $(BIN)/playwright install chromium

# The same for PostgreSQL: the tests start a server of their own. Where it cannot be installed, they say so and pass over it.
.PHONY: .postgres
.postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  echo "Installing PostgreSQL"; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } \
	  || echo "PostgreSQL could not be installed: its tests are skipped"

constraints: $(VENV)/.installed-dev
	{ head -n 1 constraints.txt; $(BIN)/pip freeze --all --exclude-editable | grep -v "^pip==" | sed 's/^\(torch==[0-9.]*\)+.*/\1/' | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) $(LS_VENV) demo build *.egg-info
