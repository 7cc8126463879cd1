# From nothing to running notebooks. The README has the plain commands for run, test and lab.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
MODEL  ?= $(or $(COURSE_MODEL),auto)
NOTEBOOKS ?= main
# A folder from `make prefetch`: then no network is needed, not even a package index.
OFFLINE_FROM ?=
ifneq ($(OFFLINE_FROM),)
export COURSE_HUB := rehearsal
export COURSE_MODEL ?= smollm2
endif
FOLDER ?= classroom
# A test file, or a notebook, to each core; PARALLEL= for one after the other.
PARALLEL ?= -n logical --maxprocesses 4

.PHONY: run test lab notebooks bench prefetch handouts site troubleshooting models \
        soak test-colab test-matrix wheel stamp lint clean

run: $(VENV)/.ready        ## the main job: notebooks 00 and 04 to 07, executed copies in build/; MODEL=owner/name or a folder
	$(if $(OFFLINE_FROM),$(PY) -m tools.classroom unpack $(OFFLINE_FROM))
	$(PY) -m tools.run $(NOTEBOOKS) --model "$(MODEL)"

test: $(VENV)/.ready lint  ## everything that is tested, notebooks included
	$(PY) -m pytest tests $(PARALLEL) --dist loadfile
	COURSE_MODEL=smollm2 COURSE_HUB=rehearsal $(PY) -m pytest --nbval notebooks $(PARALLEL) --dist loadscope

lint: $(VENV)/.ready
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

lab: $(VENV)/.ready        ## open JupyterLab on the notebooks
	$(if $(OFFLINE_FROM),$(PY) -m tools.classroom unpack $(OFFLINE_FROM))
	$(PY) -m jupyter lab --notebook-dir .

notebooks: $(VENV)/.ready  ## refresh the stored outputs, with SmolLM2
	$(PY) -m tools.refresh all

bench: $(VENV)/.ready      ## speed and memory beside named peers: docs/BENCHMARKS.md; GROUPS=numbers for one
	$(PY) -m benchmarks $(GROUPS)

prefetch: $(VENV)/.ready   ## everything a room without internet needs, into FOLDER
	$(PY) -m tools.classroom prefetch $(FOLDER)

handouts: $(VENV)/.ready   ## exercises without solutions, a teacher's copy, slides
	$(PY) -m tools.handouts

site: $(VENV)/.ready       ## the course as a site to read, in build/site (Sphinx, in .venv-site)
	$(PY) -m tools.site

troubleshooting: $(VENV)/.ready  ## run the tests and write docs/TROUBLESHOOTING.md from the errors they provoke
	$(PY) -m pytest tests --failures --ignore tests/test_failures.py $(PARALLEL) --dist loadfile

models: $(VENV)/.ready     ## the zoo through the real tools, and its table in docs/MODELS.md
	$(PY) -m pytest tests/zoo
	$(PY) -m tools.models

soak: $(VENV)/.ready       ## 120 random faults strike the pipeline; begins no new one after 15 minutes (SOAK="--minutes 40")
	$(PY) tests/long/soak.py $(SOAK)

test-colab: NOTEBOOKS = all
test-colab: $(VENV)/.ready ## every notebook alone in an empty folder, as on Colab; NOTEBOOKS=02 for one
	$(PY) tests/long/colab.py $(NOTEBOOKS)

test-matrix: $(VENV)/.ready  ## the tests with the oldest and the newest versions that requirements.txt allows
	$(PY) tests/long/matrix.py

wheel: $(VENV)/.ready      ## llama-cpp-python for every processor of this kind, into dist/ (3 minutes)
	$(PY) -m tools.wheel

stamp: $(VENV)/.ready      ## make stamp REPO=owner/name, for a release VERSION=v2.0.0, too
	$(PY) -m tools.stamp $(REPO) $(if $(VERSION),--version $(VERSION))

clean:                     ## delete what the notebooks made; keeps the environment
	rm -rf artifacts build

$(VENV)/.ready: requirements.txt constraints.txt helpers/install.py
	$(PYTHON) -m venv $(VENV)
	$(PY) -m helpers.install $(if $(OFFLINE_FROM),--from $(OFFLINE_FROM))
	touch $@
