# Each target makes its environment by itself if needed. PYTHON chooses the interpreter it is made
# with, VENV the folder it is made in.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SMALL := --max-neighbors 8 --width 64 --embedding-width 32 \
	--alignn-layers 1 --gcn-layers 2 --epochs 15 --batch-size 16

define COMPARE
import json
for name in "graph", "both":
    print(f"{name:5} test MAE", "%.4f eV/atom" % json.load(open(f"demo/{name}/metrics.json"))["test"]["mae"])
endef
export COMPARE

.PHONY: attack demo docs examples test test-bare test-browser test-services test-slurm test-wheel test-potential resolve lint bench clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/curate build --db jarvis --sample --out demo/run
	for sees in graph "both --text-encoder minilm"; do \
		OMP_NUM_THREADS=1 $(BIN)/crysmmnet train --data demo/run $(SMALL) \
		--target formation_energy_peratom --modality $$sees --out demo/$${sees%% *} || exit; done
	$(BIN)/crysmmnet evaluate demo/both --data demo/run
	$(BIN)/crysmmnet predict demo/both demo/run --out demo/predictions.csv > demo/predictions.txt
	@$(BIN)/python -c "$$COMPARE"

test: $(VENV)/installed
	$(BIN)/pytest

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev,docs]'
	touch $@

docs: $(VENV)/installed-docs  # warnings are errors, links are checked; python -m http.server -d build/site shows it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

examples: $(VENV)/installed-docs  # EXAMPLES="01 03" for some of them
	$(BIN)/python examples/run.py $(EXAMPLES)

test-browser: $(VENV)/installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev,app,browser]'
	command -v chromium > /dev/null || \
		{ apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium > /dev/null; }
	$(BIN)/pytest -n 0 -m browser

.venv-services/installed: services/requirements.txt
	$(PYTHON) -m venv .venv-services
	.venv-services/bin/pip install --quiet -r services/requirements.txt
	touch $@

test-services: $(VENV)/installed .venv-services/installed
	$(BIN)/pytest -n 0 services

test-slurm: $(VENV)/installed  # as root: it installs and starts a SLURM of its own
	command -v slurmctld > /dev/null && command -v slurmd > /dev/null && command -v munged > /dev/null || \
		{ apt-get -qq update && apt-get -qq install -y --no-install-recommends \
		slurmctld slurmd slurm-client munge > /dev/null; }
	$(BIN)/python tests/helpers/with_slurm.py $(BIN)/pytest -n 0 -m slurm

test-potential: $(VENV)/installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev,potential]'
	$(BIN)/pytest -n 0 -m potential

test-wheel: $(VENV)/installed  # wheel and sdist, each in an environment of its own
	$(BIN)/pytest -n 0 -m wheel

.venv-bare/installed: constraints.txt  # what a training on a prepared folder needs
	$(PYTHON) -m venv .venv-bare
	.venv-bare/bin/pip install --quiet -c constraints.txt torch numpy safetensors tyro
	touch $@

test-bare: $(VENV)/installed .venv-bare/installed
	BARE=$(CURDIR)/.venv-bare/bin/python $(BIN)/pytest -n 0 tests/model/training/test_prepared_folder.py

attack: $(VENV)/installed  # half an hour; SCALE=0.1 CRYSTALS=1000 for a short one
	$(BIN)/python tests/attack/run.py --scale $(or $(SCALE),1) --crystals $(or $(CRYSTALS),20000)

resolve:  # every requirement has a wheel for Python 3.14, which need not be on this machine
	$(PYTHON) .ci/resolve.py 3.14

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy curate model

bench: $(VENV)/installed
	$(BIN)/python benchmarks/describe.py
	$(BIN)/python benchmarks/graphs.py

clean:
	rm -rf $(VENV) .venv-services .venv-bare demo
