# `make run` is the whole path: install, start the platform, retrain MODEL, and say what is live.
MODEL ?= flight-delays
.DEFAULT_GOAL := help
.SILENT:
.PHONY: help install run down images test test-cluster test-cluster-all lint bench bench-cluster cluster cluster-down

help: ## Show what can be made
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.slipway-lock images/model-server/.venv/.slipway-lock ## Install both locked environments, if they changed

run: install ## Start the platform and retrain MODEL (flight-delays), with what was decided, links and a curl line
	.venv/bin/slipway up
	.venv/bin/slipway retrain $(MODEL)

down: ## Stop the platform; data and models stay
	if [ -x .venv/bin/slipway ]; then .venv/bin/slipway down; else echo "Nothing is installed, so nothing runs."; fi

images: install ## Build the images that changed; load them into the cluster of `make cluster`, or push to REGISTRY
	.venv/bin/python -m infra.images $(IMAGES)

test: install ## Run every test that needs no cluster
	# Two lanes at once, one a core: those that share a platform wait for servers half of the time.
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	(failed=0; \
	.venv/bin/python -m pytest tests/tasks tests/model_server tests/mlflow_server tests/devcluster || failed=$$?; \
	.venv/bin/python -m pytest tests/flows tests/infra || failed=$$?; exit $$failed) >"$$log" 2>&1 & other=$$!; \
	failed=0; .venv/bin/python -m pytest tests/release tests/retrain || failed=$$?; \
	wait $$other && other=0 || other=$$?; cat "$$log"; \
	exit $$((failed + other))

cluster: install ## Start a Kubernetes of one node on this machine (root, Go), and load the images that pods start from
	.venv/bin/python -m infra.devcluster up

cluster-down: ## Take that Kubernetes away: processes, mounts, interfaces, rules, data
	if [ -x .venv/bin/python ]; then .venv/bin/python -m infra.devcluster down; else echo "Nothing is installed, so nothing runs."; fi

test-cluster: install ## Run the tests on the cluster of KUBECONFIG, or of `make cluster`; one fault of each kind; CHARTS: folder of other projects' charts
	.venv/bin/python -m pytest tests/cluster -m "not slow" $(if $(CHARTS),--charts $(CHARTS))

test-cluster-all: install ## The same, with every fault
	.venv/bin/python -m pytest tests/cluster $(if $(CHARTS),--charts $(CHARTS))

lint: install ## Check style and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench: install ## Measure; writes bench.json and prints a table
	.venv/bin/python -m tests.bench

bench-cluster: install ## The same on the cluster of KUBECONFIG, or of `make cluster`; writes bench-cluster.json
	.venv/bin/python -m tests.bench.cluster

.venv/.slipway-lock: uv.lock pyproject.toml images/model-server/pyproject.toml | uv
	echo "Installing the environment of the flows (.venv)"
	uv sync --quiet --locked --extra spark --extra hub --compile-bytecode
	.venv/bin/python -c "from infra.local.prefect_database import ensure_template; ensure_template()"
	touch $@

images/model-server/.venv/.slipway-lock: images/model-server/uv.lock images/model-server/pyproject.toml | .venv/.slipway-lock
	.venv/bin/python -c "from infra.local.install import ensure_model_server; ensure_model_server(print)"
	touch $@

.PHONY: uv
uv:
	command -v uv >/dev/null || { echo "uv is missing: it installs both environments. See https://docs.astral.sh/uv/getting-started/installation/ (for example: pip install uv), then run make again." >&2; exit 1; }
