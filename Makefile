# make demo | test | alone | lint | docs | notebooks | bench | constraints
# Each makes the virtual environment it needs and installs into it from constraints.txt.
#   make test PY=python3.12 VENV=.venv312 EXTRAS=numpyro,plots,factorization,enumeration,parallel      another Python, one room
#   make test TORCH_INDEX=<index of PyTorch's CPU builds>           where pip would take CUDA's
PY ?= python3
VENV ?= .venv
EXTRAS ?= all
TORCH_INDEX ?=
WORKERS ?= 2
PYTEST_ARGS ?=
DOCS_ARGS ?=
BENCH_ARGS ?=

comma := ,
extras := $(subst $(comma), ,$(EXTRAS))
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install -q -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
INSTALL := $(BIN)/python $(PIP_INSTALL) -e ".[$(EXTRAS)]"

# The rooms under test. A test of a room named here fails, and is never skipped, without its host.
export PPL_EXT_HOSTS := $(if $(filter all,$(extras)),pyro numpyro,$(filter pyro numpyro,$(extras)))
# One thread: the problems are small, and threads only wait for each other.
export OMP_NUM_THREADS ?= 1
export JAX_PLATFORMS ?= cpu
export XLA_FLAGS ?= --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1
export MPLBACKEND ?= Agg
# JAX finds its compiled programs again in the next process; the cache key depends on hash order.
export PYTHONHASHSEED ?= 0
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

.PHONY: demo test alone lint docs notebooks bench constraints clean
.DELETE_ON_ERROR:

$(BIN)/python:
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U "pip>=25.1"

# One stamp for each set of tools: installed-run, installed-test, installed-lint, installed-docs.
$(VENV)/installed-%: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) $(if $(filter-out run,$*),--group $*)
	touch $@
.SECONDARY:

demo: $(VENV)/installed-run
	$(BIN)/python -m ppl_ext demo

# Unoptimised programs compile in half the time and run long enough for a test.
test: export JAX_DISABLE_MOST_OPTIMIZATIONS ?= 1
test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 10 $(PYTEST_ARGS)

# What a user installs who wants one room and nothing else, in an environment that has nothing else.
alone: alone-pyro alone-numpyro
alone-%:
	$(PY) -m venv --clear .alone/$*
	.alone/$*/bin/python $(PIP_INSTALL) ".[$*]"
	.alone/$*/bin/python .ci/first_use.py $*

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Pictures belong into the pages.
docs notebooks: export MPLBACKEND = module://matplotlib_inline.backend_inline
# Some tutorials take a worked model from the clone.
notebooks: export PYTHONPATH = $(CURDIR)

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html $(DOCS_ARGS) docs docs/_build/html

notebooks: $(VENV)/installed-docs
	mkdir -p notebooks
	for name in $(basename $(notdir $(wildcard tutorials/*.py))); do \
		$(BIN)/jupytext --execute --output notebooks/$$name.ipynb tutorials/$$name.py || exit 1; \
	done

bench: $(VENV)/installed-run
	$(BIN)/python benchmarks/posteriordb.py --hosts $(PPL_EXT_HOSTS) $(BENCH_ARGS) -- $(DATA)

constraints:
	.ci/resolve

clean:
	rm -rf $(VENV) .alone .jax_cache docs/_build demo notebooks
