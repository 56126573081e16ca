# The commands of nodeward.calico. Each sets up what it needs and says what it reused; `make` alone lists them.
#
#   make harden                                        on a lab of three containers
#   make harden INVENTORY=path ARGS="--check --diff"   on your own fleet
#
# INVENTORY  the fleet: whatever `ansible-playbook -i` takes; empty means the lab
# ARGS       more words for ansible-playbook (harden, restore, audit) or for pytest (unit, api, fleet, incidents, faults)
# STAGES     those of tests/stages/catalogue.py to run; empty means all (test)
# LAB        the lab's name
# API        empty: a lab without a Kubernetes API server, whose programs take 4 minutes to make the first time
# NODE       the node to diagnose
# PYTHON     what .venv is made from; empty means the first of 3.13, 3.12, 3.11 and python3 that will do

INVENTORY ?=
ARGS ?=
STAGES ?=
LAB ?= default
API ?= yes
NODE ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Nothing depends on the home folder, and FQCNs mean this checkout before anything installed elsewhere.
export ANSIBLE_HOME := $(CURDIR)/.ansible
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.ansible/collections$(addprefix :,$(ANSIBLE_COLLECTIONS_PATH))
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Defaults, where the environment or the command line does not say otherwise.
export ANSIBLE_PIPELINING ?= True
export ANSIBLE_CALLBACK_RESULT_FORMAT ?= yaml
# three lines of warning for each node whose interpreter Ansible has to find
export ANSIBLE_PYTHON_INTERPRETER ?= auto_silent
# a mistyped INVENTORY would otherwise be an empty fleet, and its run a success
export ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED ?= True
# facts only as ansible_facts['x'], as ansible-core 2.24 will have it
export ANSIBLE_INJECT_FACT_VARS ?= False
export MOLECULE_GLOB ?= molecule/*/molecule.yml
ifeq ($(INVENTORY),)
export ANSIBLE_FORKS ?= 20
endif
# A Unix socket's path has at most 107 characters, and ssh needs some 55 below this folder.
ifeq ($(shell [ $${#PWD} -gt 45 ] && echo long),long)
export ANSIBLE_SSH_CONTROL_PATH_DIR ?= $(or $(XDG_RUNTIME_DIR),$(HOME)/.ansible)/cp
endif
# Ansible does not start in a locale that is not UTF-8.
ifneq ($(shell locale charmap 2>/dev/null),UTF-8)
export LC_ALL := C.UTF-8
endif
# Colours are for terminals.
ifndef MAKE_TERMOUT
export NO_COLOR ?= 1
endif
export PYTHON

lab = python3 -m tests.lab
playbook = ansible-playbook playbooks/$@.yml -i '$(or $(INVENTORY),.lab/$(LAB)/inventory.yml)' $(ARGS)
stages = .venv/bin/python -m tests.stages

.PHONY: help harden restore audit defrag diagnose test lint unit molecule api fleet drills incidents faults kernel bench lab-up lab-down lab-status vm-up vm-down setup clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

harden: $(if $(INVENTORY),,lab-up) controller ## apply playbooks/harden.yml to the lab, or to INVENTORY=path
	@$(playbook)

restore: $(if $(INVENTORY),,lab-up) controller ## bring back what was before the first harden
	@$(playbook)

audit: $(if $(INVENTORY),,lab-up) controller ## report what harden would find, and change nothing
	@$(playbook)

defrag: $(if $(INVENTORY),,lab-up) controller ## defragment etcd where that pays, one member at a time
	@$(playbook)

diagnose: $(if $(INVENTORY),,lab-up) controller ## say why calico-node is 0/1 on NODE=name
	@$(playbook) -e 'diagnose_node=$(NODE)'

test: test-tools $(if $(or $(filter kernel incidents faults,$(STAGES)),$(if $(STAGES),,all)),vm-packages) ## run all stages (or STAGES="docs lab"); the last line is "N passed, N failed"
	@$(stages) $(STAGES)

lint: test-tools ## run the linters and the type checker
	@$(stages) lint

unit: test-tools ## run the unit tests with their coverage (ARGS for pytest)
	@$(stages) unit -- $(ARGS)

molecule: test-tools ## run the molecule scenario, step by step
	@$(stages) molecule

api: test-tools ## run the tests against a real Kubernetes API server and etcd (ARGS for pytest)
	@$(stages) api -- $(ARGS)

fleet: test-tools ## run the tests that drive the playbooks on a lab (ARGS for pytest)
	@$(stages) fleet -- $(ARGS)

drills: test-tools vm-packages ## replay all incidents on a lab, the failure, then the cure, and try all faults on the tool itself
	@$(stages) incidents faults

incidents: test-tools vm-packages ## of the drills, the incidents alone (ARGS for pytest)
	@$(stages) incidents -- $(ARGS)

faults: test-tools vm-packages ## of the drills, the faults alone (ARGS for pytest)
	@$(stages) faults -- $(ARGS)

kernel: test-tools vm-packages ## harden, boot and restore four virtual machines with kernels of their own
	@$(stages) kernel

bench: test-tools ## measure what the watchdog costs on a node with 5,000 processes (two minutes)
	@PYTHONPATH='$(CURDIR)/.ansible/collections:$(CURDIR)' .venv/bin/python -m tests.bench

lab-up: lab-packages controller ## boot the lab's nodes with a cluster of etcd and a Kubernetes API server, or reuse what runs
	@.venv/bin/$(lab) up --etcd $(if $(API),--api) --name '$(LAB)'

lab-down: ## remove the lab's nodes
	@$(lab) down --name '$(LAB)'

lab-status: ## show the lab's nodes
	@$(lab) status --name '$(LAB)'

vm-up: vm-packages ## boot four virtual machines with kernels of their own (tests/vm), or reuse them
	@python3 -m tests.vm up

vm-down: ## end the virtual machines
	@python3 -m tests.vm down

setup: test-tools ## set up what all targets need, and do nothing else

clean: ## remove the lab and what was built beside the sources (reports stay)
	@tests/setup/clean.sh

# What has to be there first.
.PHONY: packages lab-packages vm-packages controller test-tools

packages:
	@tests/setup/packages.sh controller

lab-packages: packages
	@tests/setup/packages.sh lab

vm-packages: lab-packages
	@tests/setup/packages.sh vm

controller: packages
	@tests/setup/venv.sh requirements.txt

test-tools: lab-packages
	@tests/setup/packages.sh test
	@tests/setup/venv.sh requirements.txt requirements-test.txt
