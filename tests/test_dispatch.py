"""Which kernel runs: choices, their order, refusals, tracing, buffers, and operations that others add."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.backend import BACKENDS
from alexnet_np.conformance import check_kernel
from alexnet_np.dispatch import OPS, Op, Spec, op
from alexnet_np.ops.cases import cases

X = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
B = np.random.default_rng(2).standard_normal(4).astype(np.float32)


@pytest.fixture
def second_backend() -> Iterator[str]:
    """A kernel for relu and for conv2d alone, as a second backend begins."""
    ran: list[str] = []

    @ops.relu.kernel("cpu_numba/planted")
    def relu(x: Any, *, out: Any) -> None:
        ran.append("relu")
        out[...] = ops.relu.definition(x)

    @ops.conv2d.kernel("cpu_numba/planted")
    def conv2d(x: Any, w: Any, b: Any, *, stride: Any, padding: Any, groups: int, out: Any) -> None:
        ran.append("conv2d")
        out[...] = ops.conv2d.definition(x, w, b, stride=stride, padding=padding, groups=groups)

    yield "cpu_numba/planted"
    for operation in (ops.relu, ops.conv2d):
        del operation.kernels["cpu_numba/planted"]
        operation.changed()


@contextmanager
def without(operation: Op, key: str) -> Iterator[None]:
    """As if nobody had written this kernel."""
    operation.find(key)
    kernel = operation.kernels.pop(key)
    operation.changed()
    try:
        yield
    finally:
        operation.kernels[key] = kernel
        operation.changed()


def ran(calls: list[Any]) -> list[tuple[str, str]]:
    return [(call.op, call.kernel) for call in calls]


def test_cupy_runs_the_numpy_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own name, and with no module but the one of its arrays."""
    x, able = Spec((2, 3), np.dtype(np.float32), "gpu"), replace(BACKENDS["gpu_cupy"], missing=lambda: None)
    with pytest.raises(anp.NoKernel, match=r"relu: no kernel takes this call on the gpu\. It has .*cpu_numpy"):
        ops.relu.resolve(x)
    monkeypatch.setitem(BACKENDS, "gpu_cupy", able)
    call = ops.relu.resolve(x._replace(shape=(2, 4)))
    assert (call.key, call.kernel.key, call.outputs[0].device) == ("gpu_cupy", "cpu_numpy", "gpu")
    ops.relu.changed()  # what was resolved under the changed table is forgotten
    files = list((Path(__file__).parent.parent / "kernels").glob("*/cpu_numpy.py"))
    assert len(files) == 10
    for path in files:
        assert "import numpy" not in path.read_text(), path


def test_importing_is_light() -> None:
    """No kernel, and no library that only kernels or the command line need, before an operation asks."""
    code = (
        "import sys, alexnet_np\n"
        "heavy = {'numba', 'cupy', 'scipy', 'matplotlib', 'PIL', 'rich', 'tyro', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [m for m in sys.modules if m.startswith('alexnet_np.kernels')]\n"
        "alexnet_np.alexnet('paper')\n"
        "import numpy as np\n"
        "with alexnet_np.use('cpu_numpy'): alexnet_np.ops.relu(np.ones(3))\n"
        "loaded = [m for m in sys.modules if m.startswith('alexnet_np.kernels.')]\n"
        "assert loaded == ['alexnet_np.kernels.relu', 'alexnet_np.kernels.relu.cpu_numpy'], loaded\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_have_one_name() -> None:
    """`kernels` on its own belongs to another project."""
    done = subprocess.run([sys.executable, "-c", "import kernels"], capture_output=True, text=True)
    assert done.returncode and (
        "import this package as alexnet_np.kernels" in done.stderr or "No module" in done.stderr
    )


def test_order_of_choices(second_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with anp.trace() as calls:
        ops.relu(X)  # the best
        with anp.use(relu=second_backend):
            ops.relu(X)
            with anp.use("cpu_numpy"):
                ops.relu(X)  # the choice for the operation outlives a new default
            with anp.use(relu="cpu_numpy"):
                ops.relu(X)
        monkeypatch.setenv("ALEXNET_BACKEND", "cpu_numpy")
        ops.relu(X)
        ops.lrn(X)
    asked = [call.asked for call in calls]
    assert asked == [None, second_backend, second_backend, "cpu_numpy", "cpu_numpy", "cpu_numpy"]
    assert [call.kernel for call in calls] == ["cpu_numba", second_backend, second_backend] + ["cpu_numpy"] * 3


def test_a_choice_covers_the_backward(second_backend: str) -> None:
    dy = np.ones((2, 4, 4, 4), np.float32)
    with anp.trace() as calls, anp.use(conv2d="cpu_numpy"), anp.use("cpu_numba"):
        ops.conv2d(X, W, B)
        ops.conv2d_backward(dy, X, W)
    assert {call.kernel for call in calls} == {"cpu_numpy"}
    assert [call.asked for call in calls] == ["cpu_numpy"] * 3


def test_missing_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    with anp.use(relu="cpu_numpy/fast"), pytest.raises(anp.NoKernel, match="cpu_numpy/fast"):
        ops.relu(X)
    with without(ops.relu, "cpu_numba"):
        with (
            anp.use("cpu_numba"),
            pytest.raises(anp.NoKernel, match=r"relu: use\(\) asks for cpu_numba, but .*It has .*cpu_numpy"),
        ):
            ops.relu(X)
        monkeypatch.setenv("ALEXNET_BACKEND", "cpu_numba")
        with pytest.raises(anp.NoKernel, match="ALEXNET_BACKEND asks for cpu_numba"):
            ops.relu(X)
        with anp.use(missing="warn"), anp.trace() as calls, pytest.warns(RuntimeWarning, match="running cpu_numpy"):
            ops.relu(X)
    assert ran(calls) == [("relu", "cpu_numpy")] and calls[0].asked == "cpu_numba"


def test_wrong_device_is_never_mended_silently() -> None:
    with (
        anp.use("gpu_cuda"),
        pytest.raises(anp.NoKernel, match="gpu_cuda takes arrays on the gpu, these are on the cpu"),
    ):
        ops.relu(X)
    with anp.use("gpu_cuda", missing="warn"), pytest.warns(RuntimeWarning, match="running cpu_numba"):
        ops.relu(X)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"default": "cpu_fast"}, "unknown backend 'cpu_fast'; the backends are cpu_numpy"),
        ({"default": "cpu_numpy/naive"}, "a kernel of one operation"),
        ({"rellu": "cpu_numpy"}, "unknown operation 'rellu'; the operations are cast, conv2d"),
        ({"relu": "numpy"}, "unknown backend 'numpy'"),
        ({"missing": "ignore"}, "missing must be 'error' or 'warn'"),
    ],
)
def test_bad_choices(choice: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message), anp.use(**choice):
        pass


def test_bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXNET_BACKEND", "fast")
    with pytest.raises(ValueError, match="ALEXNET_BACKEND: unknown backend 'fast'; the backends are cpu_numpy"):
        ops.relu(X)


def test_refusal() -> None:
    """A kernel that refuses is passed over by the best choice, and an error where it was asked for."""

    def relu(x: Any, *, out: Any) -> None:
        out[...] = ops.relu.definition(x)

    with without(ops.relu, "cpu_numba"):
        ops.relu.kernel(
            "cpu_numba", refuses=lambda x: None if len(x.shape) == 2 else f"{len(x.shape)} dimensions, takes 2"
        )(relu)
        with anp.trace() as calls:
            ops.relu(X)
            ops.relu(X[0, 0])
        assert [call.kernel for call in calls] == ["cpu_numpy", "cpu_numba"]
        with anp.use("cpu_numba"), pytest.raises(anp.NoKernel, match="it refuses: 4 dimensions, takes 2"):
            ops.relu(X)


def test_out_and_workspace() -> None:
    """A planner's way to call: nothing is allocated, and the result is the same."""
    with anp.use("cpu_numpy"):  # its convolution wants a workspace
        call = ops.conv2d.resolve(*(Spec(a.shape, a.dtype) for a in (X, W, B)), padding=1)
        assert call.workspace is not None and call.outputs == (Spec((2, 4, 6, 6), np.dtype(np.float32)),)
        out, scratch = np.full((2, 4, 6, 6), np.nan, np.float32), np.full(call.workspace.nbytes + 64, 255, np.uint8)
        assert ops.conv2d(X, W, B, padding=1, out=out, workspace=scratch) is out
        np.testing.assert_array_equal(out, ops.conv2d(X, W, B, padding=1))
        y, scale = np.empty_like(X), np.empty_like(X)
        returned = ops.lrn(X, out=(y, scale))
        assert returned[0] is y and returned[1] is scale
        np.testing.assert_array_equal(y, ops.lrn(X)[0])


def test_prepare() -> None:
    """A kernel may want its weights in another form; a plain call prepares them each time."""

    @ops.linear.kernel("cpu_numpy/transposed", prepare=np.transpose)
    def linear(x: Any, w: Any, b: Any, *, out: Any) -> None:
        out[...] = x @ w + b

    try:
        for case in cases(ops.linear, np.float64):
            check_kernel(ops.linear, "cpu_numpy/transposed", case)
    finally:
        del ops.linear.kernels["cpu_numpy/transposed"]
        ops.linear.changed()


def test_registration_is_checked() -> None:
    with pytest.raises(ValueError, match=r"relu: kernel 'cpu_numpy/bad' has parameters \['y', 'out'\]"):
        ops.relu.kernel("cpu_numpy/bad")(lambda y, *, out: None)
    with pytest.raises(ValueError, match="registered already"):
        ops.relu.find("cpu_numpy")
        ops.relu.kernel("cpu_numpy")
    with pytest.raises(ValueError, match="unknown backend"):
        ops.relu.kernel("tpu")
    with pytest.raises(ValueError, match=r"relu: kernel 'cpu_numpy/bad' is not bound by \['x'\]"):
        ops.relu.kernel("cpu_numpy/bad", on=lambda x: None)(lambda x, *, out: None)
    with pytest.raises(ValueError, match="sgd_momentum_: a check cannot see weights, lr"):
        ops.sgd_momentum_.define_check(lambda weights, lr: None)
    with pytest.raises(ValueError, match="relu: a check cannot see z"):
        ops.relu.define_check(lambda z: None)
    with pytest.raises(ValueError, match="gpu_cupy has no kernels of its own; register on cpu_numpy"):
        ops.relu.kernel("gpu_cupy")


def test_forward_on_one_kernel_backward_on_another(second_backend: str) -> None:
    """The operation fixes what is cached, never the kernel."""
    with anp.use(relu=second_backend):
        y = ops.relu(X)
    dy = np.random.default_rng(3).standard_normal(X.shape).astype(np.float32)
    np.testing.assert_array_equal(ops.relu_backward(dy, y), np.where(X > 0, dy, 0))


@pytest.fixture
def fused() -> Iterator[Op]:
    """A fused operation: its definition is the composition of two others, its cache its own."""

    @op(returns=("y",), fuses=(ops.conv2d, ops.relu), canonical=ops.conv2d.canonical)
    def conv2d_then_relu(x: Any, w: Any, b: Any, *, stride: Any = 1, padding: Any = 0, groups: int = 1) -> Any:
        return ops.relu.definition(ops.conv2d.definition(x, w, b, stride=stride, padding=padding, groups=groups))

    conv2d_then_relu.define_infer(lambda x, w, b, **keywords: ops.conv2d.infer(x, w, b, **keywords))
    conv2d_then_relu.define_flops(lambda x, w, b, **keywords: ops.conv2d.cost(x, w, b, **keywords).flops)
    conv2d_then_relu.define_cases(ops.conv2d.draw_cases)

    @conv2d_then_relu.kernel("cpu_numpy", workspace=ops.conv2d.find("cpu_numpy").workspace)
    def kernel(x: Any, w: Any, b: Any, *, stride: Any, padding: Any, groups: int, out: Any, workspace: Any) -> None:
        ops.conv2d.find("cpu_numpy").body(
            x, w, b, stride=stride, padding=padding, groups=groups, out=out, workspace=workspace
        )
        np.maximum(out, 0, out=out)

    yield conv2d_then_relu
    del OPS["conv2d_then_relu"]


def test_a_fused_operation_fits_in(fused: Op) -> None:
    for case in cases(fused, np.float32):
        check_kernel(fused, "cpu_numpy", case)
    assert fused.cost(X, W, B) == ops.conv2d.cost(X, W, B)
    with anp.use(conv2d_then_relu="cpu_numpy"), anp.trace() as calls:
        fused(X, W, B)
    assert ran(calls) == [("conv2d_then_relu", "cpu_numpy")]


def test_errors_are_not_remembered_as_results() -> None:
    """Resolved calls are kept by their shapes; a call that fits still works after one that did not, and again."""
    for _ in range(2):
        with pytest.raises(ValueError, match="conv2d: w has shape"):
            ops.conv2d(X, W[:, :2].copy(), B)
        ops.conv2d(X, W, B, stride=[1, 2], padding=[[1, 0], [0, 1]])


@pytest.mark.parametrize("number", [np.float64, np.float32, np.longdouble])
def test_keywords_may_be_numpy_numbers(number: type) -> None:
    """A float64 of NumPy's is a float of Python's to some, and an array of bytes to others."""
    x = np.random.default_rng(0).standard_normal((1, 8, 2, 2))
    expected = ops.lrn(x, alpha=0.5, beta=0.75)[0]
    np.testing.assert_array_equal(ops.lrn(x, alpha=number(0.5), beta=number(0.75))[0], expected)
    pooled = ops.maxpool2d(x, size=2, stride=(np.int64(1), np.int32(1)))[0]
    np.testing.assert_array_equal(pooled, ops.maxpool2d(x, size=2, stride=1)[0])
    with pytest.raises(ValueError, match="alpha must be a finite number, got"):
        ops.lrn(x, alpha=number("nan"))


def test_cost_counts() -> None:
    """Multiply-adds count twice; every input and output byte moves once."""
    cost = ops.conv2d.cost(X, W, B, padding=1)
    assert cost.flops == 2 * 2 * 4 * 36 * 27
    assert cost.bytes == X.nbytes + W.nbytes + B.nbytes + 2 * 4 * 36 * 4
    assert ops.sgd_momentum_.cost(W, W, W, lr=0.1).bytes == 5 * W.nbytes
