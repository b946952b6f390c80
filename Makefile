# One command each: `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
PORT ?= 8000
TOKENSIGHT_DATA_DIR ?= .data
export PORT TOKENSIGHT_DATA_DIR
# Python that may not keep what it compiled compiles the product anew for each process, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- Environment: each stamp is as new as the lock that it was installed from ----------------------------------------
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOG := $(VENV)/install.log
say = @printf '\033[1m==>\033[0m %s\n' "$(1)"
progress = awk '/^(Collecting|Processing) / {if (++n % 10 == 0) {printf "    %d packages fetched\n", n; fflush()}} /^Installing/ {printf "    installing %d packages\n", n; fflush()}'
failed = { tail -n 15 $(LOG); echo "Installing failed, for the reason above. After a time-out run the same command again: what is there is kept."; exit 1; }

$(BIN)/python:
	$(call say,Making the virtual environment in $(VENV))
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Tokensight needs Python 3.11 or 3.12; PYTHON=/path/to/python3.11 make ... chooses one."; exit 1; }
	@"$(PYTHON)" -m venv "$(VENV)" || \
		{ rm -rf "$(VENV)"; echo "This Python cannot make virtual environments: on Debian, apt-get install python3-venv."; exit 1; }

$(VENV)/.base: requirements/base.txt | $(BIN)/python
	$(call say,Installing what Tokensight runs on (a minute the first time))
	@$(PIP) install --progress-bar off -r requirements/base.txt 2>$(LOG) | $(progress) || $(failed)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	$(call say,Installing the development tools)
	@$(PIP) install --progress-bar off -r requirements/dev.txt 2>$(LOG) | $(progress) || $(failed)
	@touch $@

# Everything is in the lock, so --no-deps; torch's own list would add the CUDA libraries.
$(VENV)/.torch: requirements/torch.txt $(VENV)/.base
	$(call say,Installing torch and ultralytics (minutes the first time))
	@$(PIP) install --progress-bar off --no-deps -r requirements/torch.txt 2>$(LOG) | $(progress) || $(failed)
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(call say,Installing what the benchmarks compare with)
	@$(PIP) install --progress-bar off -r requirements/bench.txt 2>$(LOG) | $(progress) || $(failed)
	@touch $@

.PHONY: lock
lock: $(VENV)/.dev ## Compile requirements/*.txt from pyproject.toml (UPGRADE=1 takes the newest versions)
	@cd requirements && compile() { $(abspath $(BIN))/uv pip compile --quiet --no-emit-index-url --universal --python-version 3.11 \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) "$$@"; }; \
	compile ../pyproject.toml --generate-hashes -o base.txt; \
	compile --group ../pyproject.toml:dev -c base.txt --generate-hashes -o dev.txt; \
	compile ../pyproject.toml --extra torch -c base.txt -c dev.txt -o torch.txt; \
	compile --group ../pyproject.toml:bench -c base.txt -c dev.txt -c torch.txt --generate-hashes -o bench.txt

# --- Translations: compiled files are not kept in the repository ------------------------------------------------------
CATALOGUES := $(wildcard locale/*/LC_MESSAGES/*.po)
.PHONY: translations
translations: $(CATALOGUES:.po=.mo)
%.mo: %.po | $(VENV)/.base
	@$(BIN)/pybabel -q compile -i $< -o $@

# --- Commands ---------------------------------------------------------------------------------------------------------
.PHONY: run
run: $(VENV)/.base translations ## Start everything, run the sample job, stay until Ctrl-C (PORT, TOKENSIGHT_DATA_DIR, ONCE=1)
	@exec $(BIN)/python -m portal.local

.PHONY: test
test: $(VENV)/.dev $(VENV)/.torch translations browser ## Install what the tests need and run them all (ARGS="tests/billing -k hold")
	@$(BIN)/python -m pytest -n 3 --dist loadscope $(ARGS)

# Some browser for the end-to-end tests, and a Chinese font so that screenshots show characters and not boxes.
.PHONY: browser
browser:
	@missing=(); \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium); \
	{ command -v fc-list >/dev/null && fc-list :lang=zh family | grep -q .; } || missing+=(fonts-noto-cjk); \
	if (($${#missing[@]} == 0)); then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		printf '\033[1m==>\033[0m Installing %s for the browser tests\n' "$${missing[*]}"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	else echo "The browser tests need $${missing[*]}: apt-get install $${missing[*]}, as root"; exit 1; fi

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types, import rules, templates, migrations and production settings
	@PATH="$(abspath $(BIN)):$$PATH" deploy/lint

.PHONY: bench
bench: $(VENV)/.dev $(VENV)/.torch $(VENV)/.bench translations ## Measure: serving, overhead, ledger, admission, tags, dashboard
	@$(BIN)/python -m benchmarks

.PHONY: train-pcb
train-pcb: $(VENV)/.dev $(VENV)/.torch ## Train pcb-defect-n again from drawn boards (two hours on two cores, minutes on a GPU)
	@$(BIN)/python -m workers.training train
	@$(BIN)/python -m workers.training export

.PHONY: evaluate-pcb
evaluate-pcb: $(VENV)/.dev $(VENV)/.torch ## Measure pcb-defect-n on 300 boards drawn with another seed
	@$(BIN)/python -m workers.training evaluate

.PHONY: clean
clean: ## Remove what the commands made, except the data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
