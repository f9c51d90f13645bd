# `make demo`, `make test`, `make test-s3` and `make bench`. All make .venv first, if it is not there or not of these pins.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

export BENTOML_DO_NOT_TRACK := True
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Much of the tests is waiting for processes that are started or killed: so two files are run at once.
# A process of tests that dies ends the run: another in its place would leave pytest-xdist waiting for ever.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz test-s3 lint chaos storm bench bench-quick images test-images clean

help:  ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with everything pinned

# torch first and exactly: a range would bring a CUDA build of several GB.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt pip
	$(BIN)/python -m pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
# AWS's own emulator of Lambda's runtime is one file in a package of a hundred dependencies: that file alone.
	$(BIN)/python -m pip download -q --no-deps -d $(VENV)/emulator aws-sam-cli==1.170.0
	$(BIN)/python -m zipfile -e $(VENV)/emulator/aws_sam_cli-1.170.0-py3-none-any.whl $(VENV)/emulator
	install -m 755 $(VENV)/emulator/samcli/local/rapid/aws-lambda-rie-x86_64 $(BIN)/aws-lambda-rie
	rm -rf $(VENV)/emulator
	@touch $(STAMP)

demo: $(STAMP)  ## Three models, batch and online, on real data
	$(BIN)/tandem demo

lint: $(STAMP)  ## ruff, mypy --strict and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## What CI runs, S3 being moto
	$(PYTEST)

fuzz: $(STAMP)  ## Schemathesis asks a server what its OpenAPI page allows, and what it does not (FUZZ_EXAMPLES=500)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

test-s3: $(STAMP)  ## What touches S3, on a real server (SeaweedFS) instead of moto
	TANDEM_TEST_S3=weed $(PYTEST) -m s3

images: $(STAMP)  ## The images of batch, function and endpoint, by podman (infra/containers/setup.sh)
	infra/containers/images.sh

test-images: images  ## What runs in containers, of those images
	. $${TANDEM_PODMAN:-/var/tmp/tandem-podman}/env && TANDEM_BATCH_IMAGE=localhost/tandem-batch:0.1.0 \
	  TANDEM_LAMBDA_IMAGE=localhost/tandem-lambda:0.1.0 TANDEM_SERVICE_IMAGE=localhost/tandem-service:0.1.0 $(PYTEST) -m image

chaos: $(STAMP)  ## Kill, pause and race 300 jobs at random moments (CHAOS_RUNS, CHAOS_SEED, CHAOS_MINUTES)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos

storm: $(STAMP)  ## Kill one of three machines of an array every ten seconds, and say what that wastes (STORM_SEED)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos.storm

bench: $(STAMP)  ## Beside what people would otherwise run: benchmarks/RESULTS.md, in an hour and a half
	$(BIN)/python -m benchmarks.environments
	$(BIN)/python -m benchmarks.run

bench-quick: $(STAMP)  ## The same with fewer rows and rounds: RESULTS.quick.md, in five minutes
	$(BIN)/python -m benchmarks.environments
	$(BIN)/python -m benchmarks.run --quick

clean:  ## Remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
