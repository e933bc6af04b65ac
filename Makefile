# Every target does the set-up that it needs, once: a venv in .venv, filled from the hash-pinned locks.
# Use another Python with `make run PYTHON=python3.12`.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
# DVC starts the stages with `python`; it has to be the one of the venv.
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run serve report simulate verify storage hooks image image-road kubeflow test test-image test-schedulers check format docs bench lock clean
.DELETE_ON_ERROR:

help: ## list the targets
	@echo "hearth: a house-price model that is kept true. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/native.done ## set up, pull the sample, run the road, show the metrics, look for people in what it made
	@hearth check
	@hearth heal
	@[ ! -e data/source/house_sales.parquet.dvc ] || [ -e data/source/house_sales.parquet ] || \
	  dvc pull --remote sample data/source/house_sales.parquet.dvc
	@dvc repro || { echo "The road stopped. \`dvc checkout --force\` brings back the last good outputs." >&2; exit 1; }
	@hearth heal --check
	@hearth summary
	@hearth scan

serve: .venv/native.done ## serve the released bento, or the one made here, on 127.0.0.1:3000
	@hearth serve

report: .venv/road.done ## write metrics/report.html: how good the model is, for people
	@[ -e models/predictions.parquet ] || $(MAKE) run || [ -e models/predictions.parquet ]  # also where the gate said no
	@hearth report

simulate: .venv/native.done ## live through the months after the model's data: drift, alarm, retraining, promotion, rollback
	@[ -e models/house_prices.bento ] || $(MAKE) run
	@hearth simulate

verify: .venv/road.done ## prove that dvc.lock is true: rebuild this commit in an empty clone, and compare byte by byte
	@hearth verify $(if $(ATTEST),--attest $(ATTEST))

storage: .venv/dev.done ## start a real S3 (SeaweedFS) on loopback; shows how it becomes the DVC remote; PORT=... moves it
	@python tools/storage.py $(PORT)

hooks: .venv/road.done ## let `git push` refuse commits whose data is on no DVC remote
	@sh tools/hooks.sh

image: .venv/native.done ## build the OCI image of the bento; BASE=... takes another base image
	@[ -e models/house_prices.bento ] || $(MAKE) run
	@hearth image $(if $(BASE),--base $(BASE))

image-road: .venv/road.done ## build the OCI image in which schedulers run the stages; BASE=... takes another base image
	@hearth image --road $(if $(BASE),--base $(BASE))

kubeflow: .venv-kubeflow/done ## compile the pipeline for Kubeflow anew, with its diagram in docs/orchestration.md
	@.venv-kubeflow/bin/python orchestration/kubeflow/pipeline.py

# Two workers, as CI's machine has two cores; a file stays with one of them, in the order of LONGEST in tests/conftest.py.
# One thread each, as in the stages: beside other load two threads wait for each other, and tests/test_leakage.py took 105
# seconds of CPU instead of 29.
test: .venv/dev.done .venv/native.done .venv-airflow/done .venv-kubeflow/done ## run the whole test suite
	@sh tests/system.sh
	@OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-image: .venv/dev.done .venv/native.done .venv-kubeflow/done ## build, run and stop the real image with podman (some minutes)
	@[ -e models/house_prices.bento ] || $(MAKE) run
	@sh tests/system.sh image
	@HEARTH_TEST_IMAGE=1 python -m pytest tests/test_image.py tests/test_image_engine.py tests/test_image_road_engine.py

test-schedulers: .venv/dev.done .venv-airflow/done ## run the road and the loop of small projects on Airflow, and the workflow (some minutes)
	@sh tests/system.sh
	@HEARTH_TEST_SCHEDULERS=1 OMP_NUM_THREADS=1 python -m pytest tests/test_loop.py

check: .venv/dev.done ## lint, format, types, what is written twice, whether dvc.lock is whole, and people in the data that is here
	@ruff check .
	@ruff format --check .
	@mypy
	@hearth docs --check
	@hearth locked
	@hearth scan

format: .venv/dev.done ## mend what the linter and the formatter can mend
	@ruff check --fix .
	@ruff format .

docs: .venv/road.done ## write docs/data.md and the tables of README.md anew
	@hearth docs

bench: .venv/native.done ## run the benchmarks (a quarter of an hour)
	@[ -d models/model ] || $(MAKE) run
	@python benchmarks/one_row.py
	@python benchmarks/log.py
	@python benchmarks/batch.py
	@python benchmarks/monitor.py
	@python benchmarks/sources.py
	@python benchmarks/quality.py

lock: .venv/dev.done ## resolve all locks anew, from pyproject.toml and orchestration/*/requirements.in
	@sh tools/lock.sh
	@$(MAKE) kubeflow # the image that it names has the lock's

clean: ## remove the venvs and the caches; data and models stay
	rm -rf .venv .venv-airflow .venv-kubeflow .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), wanted Python 3.11 or newer; try \`make run PYTHON=python3.12\`." >&2; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

.venv/road.done: requirements.lock pyproject.toml | .venv/bin/python
	@echo "installing requirements.lock (a minute or two, once)"
	@python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# Seen from its own folder: under LC_ALL=C a Python before 3.13 reads no path with an umlaut there, and does not start.
	@echo ../../../../src >"$$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/hearth.pth"
	@python tools/plots_page.py
	@sh tools/merging.sh
	@touch $@

# What prices a batch in a quarter of the time; where no compiler is, it says so, and numpy does it.
.venv/native.done: src/hearth/native.c .venv/road.done
	@hearth native
	@touch $@

.venv/dev.done: requirements-dev.lock .venv/road.done
	@echo "installing requirements-dev.lock (half a minute, once)"
	@python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Kubeflow's SDK has an environment of its own, which holds neither DVC nor hearth. Its lock's setuptools builds the one
# package that comes as source only.
.venv-kubeflow/done: orchestration/kubeflow/requirements.lock
	@echo "installing orchestration/kubeflow/requirements.lock (half a minute, once)"
	@$(PYTHON) -m venv --clear .venv-kubeflow
	@sed -n '/^setuptools==/,/[^\\]$$/p' $< >.venv-kubeflow/builder.txt
	@.venv-kubeflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv-kubeflow/builder.txt
	@.venv-kubeflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r $<
	@touch $@

# Airflow's own environment, which knows nothing of hearth's: neither has to agree with the versions of the other.
.venv-airflow/done: orchestration/airflow/requirements.lock
	@echo "installing $< (a minute, once)"
	@$(PYTHON) -m venv --clear .venv-airflow
	@.venv-airflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
