# From nothing to running notebooks. The plain commands behind each target stand in the README.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
MODEL  ?= auto
NOTEBOOKS ?= main

.PHONY: run test lab notebooks bench stamp lint clean

run: $(VENV)/.ready        ## the main job: notebooks 04 to 07, executed copies in build/
	$(PY) -m helpers.notebooks run $(NOTEBOOKS) --model $(MODEL)

test: $(VENV)/.ready lint  ## everything that is tested, notebooks included
	$(PY) -m pytest tests
	COURSE_MODEL=smollm2 COURSE_HUB=rehearsal $(PY) -m pytest --nbval notebooks

lint: $(VENV)/.ready
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

lab: $(VENV)/.ready        ## open JupyterLab on the notebooks
	$(PY) -m jupyter lab --notebook-dir .

notebooks: $(VENV)/.ready  ## refresh the stored outputs with the embedded model
	$(PY) -m helpers.notebooks refresh all

bench: $(VENV)/.ready      ## measure speed and memory against named peers
	$(PY) -m benchmarks.numbers
	$(PY) -m benchmarks.compression
	$(PY) -m benchmarks.evaluation
	$(PY) -m benchmarks.main_job

stamp: $(VENV)/.ready      ## make stamp REPO=owner/name
	$(PY) -m helpers.notebooks stamp $(REPO)

clean:                     ## delete what the notebooks made; keeps the environment
	rm -rf artifacts build

$(VENV)/.ready: requirements.txt constraints.txt helpers/install.py
	$(PYTHON) -m venv $(VENV)
	$(PY) -m helpers.install
	touch $@
