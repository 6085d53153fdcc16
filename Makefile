# All tasks of a developer. Needs Make and Python 3.11 to 3.13; everything else goes into .venv.

.DEFAULT_GOAL := help
.PHONY: help setup demo test stripe-contract lint format translations bench profile soak newest \
	kafka-versions kafka-version docs clients screenshots clean

BIN := .venv/bin
SETUP := .venv/.complete
# One run of pytest each, with a Kafka of its own; three at once, for on two cores half of a test is waiting,
# for other processes and for deadlines. The longest come first, so that none is left to run alone.
PARTS ?= e2e pages faults platforms integration simulation contract unit money
AT_ONCE ?= 3
TEST_LOGS := .sandbox/tests
# `make test KAFKA=3.9.2`, `make demo KAFKA=4.4.0`: with that release, of Maven, instead of the locked one. What a
# shell has in a variable of this name is something else.
ifeq ($(origin KAFKA),command line)
export TIFFIN_SANDBOX_KAFKA := $(KAFKA)
else
KAFKA :=
endif
# With it each of the tests' forty brokers starts in half the processor time.
KAFKA_CACHE := .sandbox/jars/kafka$(addprefix -,$(KAFKA)).aot
# How each of them did: docs/operations.md, Releases of Kafka.
KAFKA_VERSIONS ?= 3.9.2 4.0.2 4.1.2 4.4.0
KAFKA_TESTS := tests/integration/test_engine.py tests/faults/test_engine_faults.py \
	tests/platforms/test_operations.py
NEWEST := .venv-newest
ENGINE_TESTS := tests/unit/tables tests/integration/test_engine.py tests/integration/test_engine_repairs.py \
	tests/faults/test_engine_faults.py
SOURCES = $(wildcard app agents web tables models sandbox bench tests examples)

# uv downloads no Python of its own: it uses the one that made .venv.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv

# Tests and the demo start hundreds of processes: without the bytecode of the last one each spends two
# seconds on compiling.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Make .venv with the locked dependencies (the others do it by themselves)

demo: $(SETUP) $(KAFKA_CACHE) ## Play orders, kill a worker, count the charges, stay up (ONCE=1, RATE=2, DETAILS=1)
	@$(BIN)/python -m sandbox.demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(RATE),--rate '$(RATE)') \
		$(if $(filter-out 0,$(DETAILS)),--details)

test: $(SETUP) ## Lint, then run every test but the soak runs (PARTS=folders, AT_ONCE=3, ARGS=of pytest)
	@$(MAKE) --no-print-directory --jobs=2 $(if $(filter-out 1,$(AT_ONCE)),--output-sync=target) lint \
		$(if $(filter-out unit contract,$(PARTS)),$(KAFKA_CACHE))
	@$(if $(filter e2e pages,$(PARTS)),sh scripts/chromium.sh >/dev/null)
	@$(if $(filter e2e unit,$(PARTS)),sh scripts/promtool.sh >/dev/null || true)
	@echo 'Testing $(PARTS): $(AT_ONCE) at once, each shown when it has ended (AT_ONCE=1: while it runs)'
	@rm -rf $(TEST_LOGS); mkdir -p $(TEST_LOGS)
	@$(MAKE) --no-print-directory --keep-going --jobs=$(AT_ONCE) \
		$(if $(filter-out 1,$(AT_ONCE)),--output-sync=target) $(addprefix tests/,$(PARTS)) \
		&& echo 'All of $(PARTS) passed' || { sh tests/failures.sh $(TEST_LOGS) >&2; exit 1; }

# The status is kept in a file, for a pipe has only its last command's.
.PHONY: $(addprefix tests/,$(PARTS))
$(addprefix tests/,$(PARTS)):
	@echo "== $@"; mkdir -p $(TEST_LOGS); { $(BIN)/python -m pytest $@ $(ARGS); \
		echo $$? >$(TEST_LOGS)/$(@F).status; } 2>&1 | tee $(TEST_LOGS)/$(@F).log; \
		exit $$(cat $(TEST_LOGS)/$(@F).status)

# Without it Kafka starts more slowly and does the same, so no failure to make it ends a run.
$(KAFKA_CACHE): uv.lock sandbox/kafka/jars.lock.json | $(SETUP)
	@echo '… Preparing Kafka, once: 44 MB to download, then half a minute at most'
	-@$(BIN)/python -m sandbox.kafka cache

# The key stays in the environment: it is on no command line and in no output.
stripe-contract: $(SETUP) ## Print what the stand-in does otherwise than Stripe (STRIPE_TEST_SECRET_KEY; ARGS=--save FILE)
	@$(BIN)/python -m sandbox.stripe_contract $(ARGS); compared=$$?; \
		$(BIN)/python -m pytest tests/contract/test_gateway_at_stripe.py -q && exit $$compared

lint: $(SETUP) ## Check style, types and the direction of imports
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-logo

translations: $(SETUP) ## Take the texts out of pages and mails, compile the catalogues, and name what is missing
	$(BIN)/python -m sandbox.translations

format: $(SETUP) ## Put the code into the formatter's shape, and fix what can be fixed
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(SETUP) ## Measure beside peers, 40 minutes, and write docs/performance.md (ARGS=--short: a look)
	$(BIN)/python -m bench $(ARGS)

profile: $(SETUP) ## Sample a worker under load, and write where its CPU goes into docs/performance.md
	$(BIN)/python -m bench platform --rate 4 --profile --write $(ARGS)

soak: $(SETUP) ## The long runs under faults
	$(BIN)/python -m pytest -m soak $(ARGS)

# Their versions are pinned, for tables/faust_internals.py leans on their inside: docs/engine.md.
newest: $(SETUP) ## Run the engine's tests with the newest Faust and aiokafka, in .venv-newest (ARGS=of pytest)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(NEWEST)
	$(BIN)/uv export --quiet --locked --no-hashes --output-file $(NEWEST)/locked.txt \
		$(addprefix --no-emit-package ,aiokafka faust-streaming mode-streaming rocksdict)
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --requirement $(NEWEST)/locked.txt \
		aiokafka 'faust-streaming[rocksdict]'
	$(BIN)/uv pip list --python $(NEWEST)/bin/python | grep -E '^(aiokafka|faust|mode|rocksdict)'
	$(NEWEST)/bin/python -m pytest $(ENGINE_TESTS) $(ARGS) \
		--deselect tests/unit/tables/test_faust_internals.py::test_the_versions_that_were_measured

kafka-versions: $(SETUP) ## Run the engine's tests and a platform's against each release of KAFKA_VERSIONS
	@for version in $(KAFKA_VERSIONS); do echo "== Kafka $$version"; \
		$(MAKE) --no-print-directory kafka-version KAFKA=$$version || failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "Failed with Kafka$$failed" >&2; exit 1; }

kafka-version: $(KAFKA_CACHE)
	@$(BIN)/python -m pytest $(KAFKA_TESTS) $(ARGS)

docs: $(SETUP) ## Build the documentation as a site with search, into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Built site/. To read it: $(BIN)/python -m http.server --directory site 8080, then http://localhost:8080'

release: $(SETUP) ## Make and try all files of a release in dist/: wheel, constraints, SBOM, notes; publishes nothing
	@sh scripts/release.sh .venv

clients: $(SETUP) ## Make typed clients of the HTTP API for Python and TypeScript, into build/clients
	@sh scripts/clients.sh build/clients

screenshots: $(SETUP) ## Take pictures of every page, into docs/screenshots
	$(BIN)/python -m sandbox.screenshots

clean: ## Remove all that make and the sandbox made: .venv, .sandbox, caches
	rm -rf .venv $(NEWEST) .sandbox build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/venv.sh .venv

# --inexact, because uv itself lives in .venv.
$(SETUP): pyproject.toml uv.lock | $(BIN)/python
	@test -x $(BIN)/uv || { echo 'Installing uv into .venv' >&2; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@echo '… Installing the locked packages into .venv: the first time about a minute, by your connection' >&2
	@$(BIN)/uv sync --quiet --locked --inexact --python $(BIN)/python
	@touch $@
