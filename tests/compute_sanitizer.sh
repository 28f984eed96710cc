#!/usr/bin/env bash
# Every CUDA C++ kernel on the GPU under compute-sanitizer: accesses (memcheck), then races in shared memory (racecheck).
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v compute-sanitizer > /dev/null; then
    echo "compute-sanitizer is not installed: accesses and races are not checked on the device" >&2
    exit 0
fi
for tool in memcheck racecheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 "${GPU_PYTHON:-.venv/bin/python}" tests/test_gpu_kernels.py gpu_cuda
done
