# The only front door, for people and for CI. `make` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
ARGS ?=
DEMO_SITE ?= site
PYTEST := .venv-dev/bin/python -m pytest

# Packages of Debian 12 that a fresh machine may lack. Nothing is asked of apt when they are there.
DEBIAN_RUNTIME := python3 python3-venv ca-certificates iproute2 util-linux procps
DEBIAN_BUNDLE := $(DEBIAN_RUNTIME) apt-utils gpg gpg-agent xorriso
DEBIAN_TEST := $(DEBIAN_BUNDLE) git strace openssl jq chromium faketime softhsm2 opensc debootstrap fuseiso
DEBIAN_E2E := $(DEBIAN_RUNTIME) debootstrap nftables openssh-client systemd-container

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: runtime training dev airflow ansible servers
runtime:
	@setup/debian.sh $(DEBIAN_RUNTIME)
	@setup/environment.sh runtime
training: runtime
	@setup/environment.sh training
dev:
	@setup/debian.sh $(DEBIAN_TEST)
	@setup/environment.sh dev
airflow: runtime
	@setup/environment.sh airflow
ansible: runtime
	@setup/environment.sh ansible
servers: ## Build and check the third-party servers of servers/ (minutes when cold)
	@setup/debian.sh $(DEBIAN_RUNTIME)
	@setup/environment.sh servers
	@APPLIANCE_NO_START=1 setup/debian.sh $$(python3 -m servers.builder --debian-packages)
	@nice python3 -m servers.builder $(if $(filter servers,$(MAKECMDGOALS)),$(ARGS))

BUNDLE ?= core
.PHONY: bundle
bundle: dev runtime servers ## Build and sign a bundle into build/bundles (BUNDLE=core, gpu or demo; RELEASES=your site)
	@setup/bundle.sh $(BUNDLE)

.PHONY: demo
demo: runtime training ## Run the product's main job end to end (ARGS=--json for one JSON object)
	@.venv/bin/appliance demo run --site $(DEMO_SITE) $(ARGS)

.PHONY: test
test: dev runtime training ## Prove the project: lint, all tests, docs, benchmarks' gates, the demo
	@setup/test.sh

.PHONY: unit
unit: dev ## Fast tests: unit, property, fault, meta
	$(PYTEST) -n 2 tests/unit tests/property tests/fault tests/meta $(ARGS)

.PHONY: integration
integration: dev runtime training servers ## Tests on real servers and environments (12 GB of memory)
	$(PYTEST) -n 4 tests/integration $(ARGS)

.PHONY: system
system: dev runtime training airflow servers ## Tests of the whole product: pipeline, verification, trust, the browser
	$(PYTEST) -n 2 tests/system $(ARGS)

.PHONY: e2e
e2e: dev runtime ## Debian 12 hosts in namespaces, a sink that counts what leaves them, the journey of a bare host; needs root (10 min)
	@setup/debian.sh $(DEBIAN_E2E)
	$(PYTEST) -n 1 tests/e2e $(ARGS)

.PHONY: fuzz
fuzz: dev ## Mutated inputs for every parser, 10 minutes each (ARGS="--seconds=60 statement" for less)
	.venv-dev/bin/python -m tests.fuzz --seconds=600 $(ARGS)

.PHONY: lint
lint: dev ## Format, style, types, import contracts, shell, YAML, spelling, generated docs
	.venv-dev/bin/ruff format --check appliance ansible tests benchmarks docs servers
	.venv-dev/bin/ruff check appliance ansible tests benchmarks docs servers
	.venv-dev/bin/mypy
	.venv-dev/bin/lint-imports
	.venv-dev/bin/shellcheck setup/*.sh .ci/run appliance/trust/verifier/verify.sh appliance/bundle/install.sh
	.venv-dev/bin/yamllint --strict mkdocs.yml appliance/demo/declarations/contracts ansible
	cd ansible && NO_COLOR=1 ../.venv-dev/bin/ansible-lint --offline --config-file lint.yml
	.venv-dev/bin/codespell appliance ansible tests docs servers README.md CONTRIBUTING.md SECURITY.md

.PHONY: fix
fix: dev ## Format the code and write the generated pages
	.venv-dev/bin/ruff format appliance ansible tests benchmarks docs servers
	.venv-dev/bin/ruff check --fix appliance ansible tests benchmarks docs servers
	.venv-dev/bin/python docs/role_pages.py
	.venv-dev/bin/python docs/generate.py

.PHONY: bench
bench: dev training ## Run every benchmark at full size against its peer (ARGS=--small for CI sizes)
	.venv-dev/bin/python -m benchmarks $(ARGS)

.PHONY: docs
docs: dev ## Build the documentation site into build/docs, readable without a server
	.venv-dev/bin/python docs/generate.py
	.venv-dev/bin/mkdocs build --strict --quiet

.PHONY: lock
lock: ## Renew offline_wheels/*.lock from the *.in files
	@setup/lock.sh

.PHONY: offline-wheels
offline-wheels: runtime ## Fill offline_wheels/wheels so that everything installs with no index
	@setup/offline_wheels.sh

.PHONY: proofs
proofs: dev ## List the long proofs with the age of their evidence
	@.venv-dev/bin/python docs/proofs.py

.PHONY: proof-pipeline-kills
proof-pipeline-kills: dev runtime training ## kill -9 at twenty moments of the pipeline; writes docs/evidence (5 min)
	.venv-dev/bin/python docs/proofs.py pipeline-kills $(ARGS)

.PHONY: proof-bundle
proof-bundle: dev runtime servers ## The full bundles core and gpu, core twice; writes docs/evidence (10 min cold, 15 GB)
	.venv-dev/bin/python docs/proofs.py bundle $(ARGS)

.PHONY: proof-data
proof-data: dev runtime servers ## kill -9 of sink and servers, 310 times under load; writes docs/evidence (about 1 h)
	.venv-dev/bin/python docs/proofs.py data $(ARGS)

.PHONY: proof-soak
proof-soak: dev runtime servers ## Readings at a steady rate for half an hour, with upkeep and an outage; writes docs/evidence (40 min)
	.venv-dev/bin/python docs/proofs.py soak $(ARGS)

.PHONY: proof-fuzz
proof-fuzz: dev ## Mutated inputs for every parser, 10 minutes each; goes on where it was stopped; writes docs/evidence (2 h)
	.venv-dev/bin/python docs/proofs.py fuzz $(ARGS)

.PHONY: proof-gpu
proof-gpu: dev training ## The torch recipes on this host's GPU; writes docs/evidence (3 min)
	.venv-dev/bin/python docs/proofs.py gpu $(ARGS)

.PHONY: proof-log
proof-log: dev ## kill -9 500 writers of the transparency log; writes docs/evidence (2 min)
	.venv-dev/bin/python docs/proofs.py log $(ARGS)

.PHONY: proof-servers
proof-servers: dev servers ## Build every Go and Maven server twice, apart, and compare; writes docs/evidence (20 to 50 min)
	.venv-dev/bin/python docs/proofs.py servers $(ARGS)

.PHONY: clean
clean: ## Remove environments, servers, caches and built pages (keeps sites and wheels)
	rm -rf .venv .venv-* .servers build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find appliance tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
