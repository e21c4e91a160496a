# `make help` lists the targets. Everything runs in .venv, which `setup` prepares; nothing else is installed.
PYTHON ?= python3
BIN := .venv/bin
# More arguments for pytest: make test PYTEST="-k basket -x"
PYTEST ?=
# Arguments of the fuzzer, and of mutation testing
FUZZ ?=
MUTANTS ?=
# Arguments for the simulation: make simulate SIMULATE="--job road --seeds 20000 --from 5000"
SIMULATE ?=
# Arguments of make bench-scale: make bench-scale SCALE="--only customers --customers 10000 100000 --add"
SCALE ?=
# Arguments of make chaos: make chaos CHAOS="--seed 7 --minutes 5"
CHAOS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit fuzz fuzz-bytes mutants simulate chaos chaos-planted bench bench-accuracy bench-identity bench-monetary bench-peers bench-positions bench-references bench-rules bench-scale bench-takeover kafka kafka-stop lock lock-jars clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "KAFKA_BOOTSTRAP_SERVERS=host:port makes demo, test and bench use a cluster that is already there."

setup: ## prepare .venv with the raccord command (Python 3.11+; no time when it is ready)
	@command -v $(PYTHON) >/dev/null || { echo "setup: there is no $(PYTHON): install Python 3.11 or later." >&2; exit 3; }
	@$(PYTHON) deploy/bootstrap.py

demo: setup ## play simulated shoppers through the pipeline on a real Kafka, and check the books
	@$(BIN)/raccord demo

# The tests start Python some two hundred times: told to keep no bytecode, each start would compile every module anew.
test: export PYTHONDONTWRITEBYTECODE =
test: lint ## all checks and all tests, on a real Kafka
	@$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(PYTEST)

lint: setup ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## the tests that need no Kafka: seconds
	@$(BIN)/python -m pytest tests/unit tests/property tests/fuzzing tests/agents tests/simulation -m "not broker and not bench" $(PYTEST)

fuzz: setup ## the property tests on ten times as many examples, never drawn before; what it finds, it keeps in .hypothesis
	@$(BIN)/python -m pytest tests/property tests/fuzzing -n 2 --hypothesis-profile=fuzz $(PYTEST)

fuzz-bytes: setup ## atheris on decoders, normalisers and files: FUZZ="--seconds 60 intake json"; what it finds, it keeps in .fuzzing
	@$(BIN)/python -m tests.fuzzing.fuzz $(FUZZ)

mutants: setup ## change the domain's code, and see whether tests notice: MUTANTS="--seconds 900 partition rules/limits"
	@$(BIN)/python -m tests.mutation.mutants $(MUTANTS)

simulate: setup ## the engine and the road on a Kafka in memory: thousands of crashes and freezes, each seed replays
	@$(BIN)/python -m tests.simulation $(SIMULATE)

chaos: setup ## five minutes of faults on a live pipeline, then an oracle; CHAOS="--seed N --minutes M --brokers 3 --soak 30"
	@$(BIN)/python -m tests.chaos $(CHAOS)

chaos-planted: setup ## plant ten bugs in turn, and see each of them found; results in tests/chaos/results
	@$(BIN)/python -m tests.chaos.planted

bench: setup ## measure events per second and latency; results in tests/benchmarks/results
	@$(BIN)/python -m tests.benchmarks.pipeline

bench-accuracy: setup ## measure who is who against the simulator's truth; no Kafka needed
	@$(BIN)/python -m tests.benchmarks.accuracy

bench-identity: setup ## measure what an event costs by its component's size; no Kafka needed
	@$(BIN)/python -m tests.benchmarks.identity_curve

bench-monetary: setup ## replay a year of a grocer's tills and compare with pandas, to the cent; needs the extra `bench`
	@$(BIN)/python -m tests.benchmarks.monetary

bench-peers: setup ## measure Raccord beside Kafka Streams, Quix Streams and stock Faust, in one run; it takes long
	@$(BIN)/python -m tests.benchmarks.peers

bench-positions: setup ## measure what it costs to find the stores near a position, against brute force; no Kafka needed
	@$(BIN)/python -m tests.benchmarks.positions

bench-references: setup ## measure changes of reference data where a million customers have wishes; no Kafka needed
	@$(BIN)/python -m tests.benchmarks.references

bench-rules: setup ## measure what rules, a million pending timers and late events cost
	@$(BIN)/python -m tests.benchmarks.rules_cost

bench-scale: setup ## measure cost by customers, partitions and workers, and plan a large deployment; it takes long
	@$(BIN)/python -m tests.benchmarks.scale $(SCALE)

bench-takeover: setup ## measure how long events wait when a worker is killed, with standbys and without
	@$(BIN)/python -m tests.benchmarks.takeover

kafka: setup ## start the embedded Kafka in the background
	@$(BIN)/raccord kafka start

kafka-stop: setup ## stop it
	@$(BIN)/raccord kafka stop

lock: setup ## resolve requirements.lock anew from pyproject.toml
	@deploy/lock.sh

lock-jars: setup ## resolve the embedded Kafka's jars anew, after changing its version
	@$(BIN)/python -m stream_app.embedded.lock_jars

clean: ## stop the embedded Kafka and remove what runs left behind; .venv stays
	@if [ -x $(BIN)/raccord ]; then $(BIN)/raccord kafka stop; fi
	rm -rf .raccord .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .fuzzing .mutants build dist
