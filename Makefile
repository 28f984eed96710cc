# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
# A test on each core, so BLAS gets one thread in each: two of its threads that wait for a busy core lose milliseconds.
PYTEST := ALEXNET_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

KERNEL_TESTS := $(addprefix tests/test_,$(addsuffix .py,conformance winograd channels_last linear_cores maxpool2d_rows \
	lrn_rows lrn_extremes dropout_vectors exponential vectors fingerprint bound plan plan_stages plan_few stage_filters))

.PHONY: demo test setup check other-isa study bench gpu-test gpu-bench clean

demo: .venv/run
	$(BIN)/alexnet-np demo

test: .venv/dev
	$(PYTEST)

# With the peer that the parity tests compare with.
setup: .venv/dev
	$(BIN)/python -m pip install --quiet --editable .[dev,peers]

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

.venv/run: setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install --quiet --editable .[dev]
	touch $@

# All tests of kernels with code for another instruction set: AVX2's on a CPU with AVX-512, else vectors of 64 bytes.
other-isa: .venv/dev
	env $$($(BIN)/python tests/instruction_sets.py) $(PYTEST) $(KERNEL_TESTS)

# How many planted mistakes the gradient checker sees, beside PyTorch's, and how small they may be: an hour and a quarter.
study: .venv/dev
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m alexnet_np.benchmarks.study docs/planted_mistakes.md

# Training steps, inference and operations beside PyTorch, into benchmarks/results, and README's table from it: 40 to 90
# minutes on two cores that nobody else uses.
bench: setup
	$(BIN)/alexnet-np bench
	$(BIN)/python -m alexnet_np.benchmarks.readme

# On a machine with a GPU: every kernel through CuPy and Numba, the emulator beside the hardware, plans and graphs; then
# memcheck and racecheck, where they are installed. GPU_PYTHON: an interpreter that has what is needed already;
# ARGUMENTS="-k conv2d" for a part.
GPU_PYTHON ?= $(BIN)/python
gpu-test: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),.venv/gpu)
	$(GPU_PYTHON) -m pytest tests/test_gpu_kernels.py tests/test_plan_on_device.py $(ARGUMENTS)
	GPU_PYTHON=$(GPU_PYTHON) bash tests/compute_sanitizer.sh

# Beside PyTorch, some eight minutes; make gpu-bench ARGUMENTS="--only steps --variants torch keras" for the rest.
gpu-bench: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),.venv/gpu)
	$(GPU_PYTHON) -m alexnet_np.benchmarks.gpu_bench $(ARGUMENTS)

.venv/gpu: .venv/dev
	$(BIN)/python -m pip install --quiet --editable .[dev,peers,cuda13]
	touch $@

clean:
	rm -rf .venv build dist demo *.egg-info
