# Slipway. `make` alone lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(PYTHON) demo/install.py
# Byte code is compiled once here: the local cloud and every command start in half the time, also where Python may not write it.
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints requirements.lock
export LOCALCLOUD_HOME ?= $(CURDIR)/.localcloud
export LOCALCLOUD_PORT ?= 4566
# Libraries of the seed code that are too large for the environment of the other tests.
FRAMEWORKS := tensorflow huggingface
PERSONA ?=
PROJECT ?=
ACCOUNT ?=
PARAMETERS ?=
# Parameters of a deployment: what is not given stays as the stack has it.
GIVEN = $(if $(STAGING),--parameter StagingAccountId=$(STAGING)) $(if $(PRODUCTION),--parameter ProductionAccountId=$(PRODUCTION)) \
  $(if $(TOOLING),--parameter ToolingAccountId=$(TOOLING)) $(if $(ENVIRONMENT),--parameter Environment=$(ENVIRONMENT))

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "; print "Slipway\n"} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  \033[36mmake %-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it on this machine
.PHONY: demo
demo: $(VENV)/.demo ## The whole loop on this machine: platform, project, model, release, predictions; ACCOUNTS=1 in one account
	@$(BIN)/slipway-demo run $(if $(ACCOUNTS),--accounts $(ACCOUNTS))

.PHONY: up
up: $(VENV)/.demo ## Start the local cloud; everything is as it was
	@$(BIN)/localcloud up

.PHONY: down
down: ## Stop the local cloud; everything is kept
	@if [ -x $(BIN)/localcloud ]; then $(BIN)/localcloud down; else echo "nothing is installed, nothing runs"; fi

.PHONY: reset
reset: ## Stop the local cloud and forget everything in it
	@if [ -x $(BIN)/localcloud ]; then $(BIN)/localcloud reset; else echo "nothing is installed, nothing runs"; fi

.PHONY: status
status: $(VENV)/.demo ## Whether the local cloud runs
	@$(BIN)/localcloud status

.PHONY: resources
resources: $(VENV)/.demo ## What the local cloud holds, in every account, region and service
	@$(BIN)/localcloud resources

.PHONY: env
env: $(VENV)/.demo ## Exports for any AWS tool: PERSONA=DataScientist PROJECT=flight-delays, or ACCOUNT=111111111111
	@$(BIN)/slipway-demo env --persona "$(PERSONA)" --project "$(PROJECT)" --account "$(ACCOUNT)"

DATASET ?= digits/scans

.PHONY: data
data: $(VENV)/.data ## Put another data set into the lake: DATASET=flights/2013-q1, digits/scans or reviews/food
	@$(BIN)/slipway-demo data "$(DATASET)"

##@ Deploy to AWS (with the credentials of your shell)
.PHONY: bootstrap
bootstrap: $(VENV)/.demo ## Once in each account, as its administrator: PARAMETERS="CloudTrail=existing Config=rules-only"
	@$(BIN)/slipway platform bootstrap $(addprefix --parameter ,$(PARAMETERS))

.PHONY: preflight
preflight: $(VENV)/.demo ## What would make `make deploy` fail, with the commands that mend it (TOOLING=<account>: `make workload`)
	@$(BIN)/slipway platform preflight $(if $(TOOLING),--root workload) $(GIVEN)

.PHONY: diff
diff: $(VENV)/.demo ## What `make deploy` (TOOLING=<account>: `make workload`) would change; nothing is changed
	@$(BIN)/slipway platform diff $(if $(TOOLING),--root workload) $(GIVEN)

.PHONY: deploy
deploy: $(VENV)/.demo ## The platform, as the Full Stack Developer; STAGING=<account> PRODUCTION=<account> where they are not this one
	@$(if $(filter no,$(PREFLIGHT)),,$(BIN)/slipway platform preflight $(GIVEN) &&) $(BIN)/slipway platform deploy $(GIVEN)

.PHONY: workload
workload: $(VENV)/.demo ## A staging or production account of its own: TOOLING=<account> ENVIRONMENT=staging|production
	@$(if $(filter no,$(PREFLIGHT)),,$(BIN)/slipway platform preflight --root workload $(GIVEN) &&) $(BIN)/slipway platform workload $(GIVEN)

.PHONY: destroy
destroy: $(VENV)/.demo ## Remove the platform from an account, as its administrator; lists, asks: KEEP=data, or AUDIT=yes as the last step
	@$(BIN)/slipway platform destroy $(if $(filter data,$(KEEP)),--keep-data) $(if $(filter yes,$(AUDIT)),--audit)

.PHONY: cost
cost: $(VENV)/.demo ## What the platform costs a month, from the templates and a dated price list: ACCOUNTS=1|3 SET=essential|full ZONES=2 PROJECTS=1
	@$(BIN)/slipway platform cost $(if $(SET),--endpoint-set $(SET)) $(if $(ZONES),--zones $(ZONES)) $(if $(PROJECTS),--projects $(PROJECTS)) \
	  $(if $(ACCOUNTS),--accounts $(ACCOUNTS))

SOURCE ?= CodeCommit
CONNECTION ?=
REPOSITORY ?=
APPROVE ?= false

.PHONY: deliver
deliver: $(VENV)/.demo ## The pipeline that deploys the platform from its repository: APPROVE=true; docs/delivery.md
	@$(BIN)/slipway platform delivery --parameter SourceProvider=$(SOURCE) --parameter ConnectionArn=$(CONNECTION) \
	  --parameter RepositoryId=$(REPOSITORY) --parameter ApproveChanges=$(APPROVE)

##@ Test
.PHONY: test
test: $(VENV)/.test ## Every test but those of the targets that say how long they take
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not (thorough or images or faults or frameworks or delivery or upgrade)" tests

.PHONY: test-thorough
test-thorough: $(VENV)/.test ## What takes minutes and changes rarely: images for real, removals, every choice (a quarter of an hour)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "thorough or images" tests

.PHONY: test-unit
test-unit: $(VENV)/.test ## Unit and property tests alone
	@$(BIN)/python -m pytest -n 2 tests/unit

.PHONY: test-templates
test-templates: $(VENV)/.test ## Templates: cfn-lint, checkov, parliament and our own checks
	@$(BIN)/python -m pytest -n 2 tests/templates

.PHONY: test-seedcode
test-seedcode: $(VENV)/.test ## The rendered project and its own tests
	@$(BIN)/python -m pytest -m "not frameworks" tests/seedcode

.PHONY: test-frameworks
test-frameworks: $(VENV)/.test $(FRAMEWORKS:%=$(VENV)/frameworks/%/.done) ## Every combination of the seed code to the registry, in two minutes each; images of all libraries for real (half an hour)
	@$(BIN)/python -m pytest -m frameworks tests/seedcode tests/images

.PHONY: test-localcloud
test-localcloud: $(VENV)/.test ## Conformance of the local cloud
	@$(BIN)/python -m pytest -n 2 --dist loadgroup tests/localcloud

.PHONY: test-platform
test-platform: $(VENV)/.test ## The platform's layers, deployed, changed and removed in a local cloud
	@$(BIN)/python -m pytest tests/platform

.PHONY: test-loop
test-loop: $(VENV)/.test ## The loop, end to end
	@$(BIN)/python -m pytest tests/loop

.PHONY: test-delivery
test-delivery: $(VENV)/.test ## A push to the platform's repository changes the running platform (some ten minutes)
	@$(BIN)/python -m pytest -m delivery tests/loop

.PHONY: test-taskcat
test-taskcat: $(VENV)/.test .venv-taskcat/.done ## The scenarios of .taskcat.yml, deployed and deleted by taskcat: SCENARIO=one-account
	@$(BIN)/python -m tests.taskcat $(SCENARIO)

.PHONY: test-upgrade
test-upgrade: $(VENV)/.test ## Deploy and use release 0.1.0, bring it up to date, go on working, remove it (a quarter of an hour)
	@$(BIN)/python -m pytest -m upgrade tests/upgrade

.PHONY: test-faults
test-faults: $(VENV)/.test ## Break a running loop on purpose: bad input, Ctrl-C, concurrency (a quarter of an hour)
	@$(BIN)/python -m pytest -m faults tests/loop

.PHONY: test-images
test-images: $(VENV)/.test ## The images with a real container build (needs root, buildah and debootstrap)
	@$(BIN)/python -m pytest -m images tests/images

.PHONY: lint
lint: $(VENV)/.test ## ruff, mypy, yamllint, cfn-lint
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict cfn service-catalog buildspecs .ci
	@$(BIN)/cfn-lint

.PHONY: bench
bench: $(VENV)/.test ## Speed, as ratios against a baseline of the same run; writes build/bench.json
	@$(BIN)/python -m tests.bench

.PHONY: bench-scale
bench-scale: $(VENV)/.test ## Launches of twenty projects while forty people work, as ratios; also into build/bench.json
	@$(BIN)/python -m tests.bench.scale

##@ Keep it in order
.PHONY: docs
docs: $(VENV)/.test ## Write the generated pages of docs/ anew
	@$(BIN)/python -m tests.generate_docs

.PHONY: lock
lock: $(VENV)/.test ## Resolve requirements.in anew into requirements.lock, and taskcat's into its own
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements.in --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  tests/taskcat/requirements.in --output-file tests/taskcat/requirements.lock
	@$(BIN)/python -m tests.lock_seedcode
	@$(BIN)/python -m tests.lock_image

.PHONY: clean
clean: ## Remove build/, caches and the virtual environment; the local cloud is left
	@rm -rf build $(VENV) .venv-taskcat .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv-taskcat/.done: $(VENV)/.uv tests/taskcat/requirements.lock
	@echo "▸ installing taskcat, in an environment of its own"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-taskcat
	@$(BIN)/uv pip install --quiet --python .venv-taskcat/bin/python --require-hashes --requirement tests/taskcat/requirements.lock
	@touch $@

# ---- environments: stamps, so that nothing is installed twice

$(VENV)/.uv: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Slipway needs Python 3.11 or newer as $(PYTHON); choose another with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "the module venv is missing: install your system's package for it, e.g. python3-venv" >&2; exit 1; }
	@echo "▸ installing uv"
	@$(INSTALL) uv $(VENV)/install.log $(BIN)/python -m pip install --quiet "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@touch $@

$(VENV)/.demo: $(VENV)/.uv requirements.lock cicd/pyproject.toml localcloud/pyproject.toml demo/pyproject.toml
	@echo "▸ installing what the demonstration needs"
	@$(INSTALL) packages $(VENV)/install.log $(UV) --editable localcloud --editable "cicd[deploy]" --editable demo
	@touch $@

$(VENV)/.data: $(VENV)/.demo
	@$(INSTALL) packages $(VENV)/install.log $(UV) --editable "demo[datasets]"
	@touch $@

$(VENV)/.test: $(VENV)/.demo requirements.in
	@echo "▸ installing what the tests need"
	@$(INSTALL) packages $(VENV)/install.log $(UV) --requirement requirements.in
	@touch $@

# uv does not look where pip does for files of this machine; a torch for CPUs may lie there.
$(VENV)/frameworks/%/.done: $(VENV)/.uv seedcode/{{cookiecutter.project}}/choices/%/constraints.txt cicd/pyproject.toml
	@echo "▸ installing $*"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/frameworks/$*
	@sed '/^slipway==/d' "seedcode/{{cookiecutter.project}}/choices/$*/constraints.txt" > $(VENV)/frameworks/$*/versions.txt
	@UV_FIND_LINKS="$$PIP_FIND_LINKS" $(INSTALL) $* $(VENV)/install.log $(BIN)/uv pip install --quiet --compile-bytecode \
	  --python $(VENV)/frameworks/$*/bin/python --requirement $(VENV)/frameworks/$*/versions.txt --editable cicd
	@touch $@
