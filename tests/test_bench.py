"""alexnet-np bench: what it measures is right, and what it writes can be read. Nothing here depends on time."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from quick_bench import quick

from alexnet_np import ops
from alexnet_np.backend import BEST, address
from alexnet_np.benchmarks import bench, machine, memory, network_rows, operations, plots, record, table, truth
from alexnet_np.benchmarks.operation_rows import Call, contenders_of, distinct_calls, operation_row, side_by_side
from alexnet_np.benchmarks.overhead import lines
from alexnet_np.benchmarks.roofs import Roofs
from alexnet_np.cli import main
from alexnet_np.dispatch import OPS
from alexnet_np.models import alexnet
from alexnet_np.plan.arena import ALIGN, GUARD

WANTED = bench.Wanted(variants=("mini",), batches=(2,), ops=("conv2d", "relu"), rounds=2, peers=False)


@pytest.fixture(autouse=True, scope="module")
def no_waiting() -> Iterator[None]:
    with quick():
        yield


def test_each_shape_is_called_once_and_says_where() -> None:
    calls = [(call.layers, call.op.name) for call in distinct_calls("mini", 2)]
    assert len(calls) == len(set(calls))
    for expected in (
        ("conv2", "conv2d_backward_weights"), ("relu6 relu7", "relu"), ("loss", "softmax_cross_entropy_backward"),
        ("fc7", "sgd_momentum_"),
    ):  # fmt: skip
        assert expected in calls
    assert {call.op.name for call in distinct_calls("mini", 2, ("lrn",))} == {"lrn"}


def test_emulators_are_not_timed() -> None:
    """The demo's table: of a kernel for the GPU, emulated, one call of the paper's network takes minutes."""
    for timing in operations.time_operations(alexnet("mini"), 1, runs=1):
        assert timing.seconds.keys() <= set(BEST["cpu"]) and "cpu_numpy" in timing.seconds, timing


def test_shapes_that_were_seen_are_left_out() -> None:
    seen: set[object] = set()
    assert list(distinct_calls("mini", 1, ("lrn",), seen)) and not list(distinct_calls("mini", 1, ("lrn",), seen))


def test_every_contender_computes_the_operation() -> None:
    """Ours and PyTorch's, at the shapes of a network that has every kind of layer."""
    pytest.importorskip("torch")
    names = set()
    for call in distinct_calls("mini", 2):
        expected = truth.truth(call.op, call.arrays, call.keywords)
        contenders, absent, chosen = contenders_of(call, peers=True)
        assert chosen in contenders and "torch" not in absent
        names |= contenders.keys()
        for name, contender in contenders.items():
            contender.run()
            assert truth.off_by(contender.outputs(), expected)[1] == "", (call.layers, call.op.name, name)
    assert {"torch", "torch channels_last", "cpu_numpy", "cpu_numba/columns", "cpu_numba/direct"} <= names


def test_asymmetric_padding_in_pytorch() -> None:
    """The paper's conv1 pads two sides, which PyTorch's convolution cannot: its gradients are cut as autograd does."""
    pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, w, b = (random.standard_normal(s).astype(np.float32) for s in ((2, 3, 16, 16), (4, 3, 11, 11), (4,)))
    keywords = {"stride": 4, "padding": ((0, 3), (0, 3)), "groups": 1}
    dy = random.standard_normal(ops.conv2d(x, w, b, **keywords).shape).astype(np.float32)
    for op, arrays, shapes in (
        (ops.conv2d, (x, w, b), {}),
        (ops.conv2d_backward_data, (dy, w), {"x_shape": x.shape}),
        (ops.conv2d_backward_weights, (dy, x), {"w_shape": w.shape}),
    ):
        call = Call("conv1", op, arrays, {**keywords, **shapes})
        expected = truth.truth(op, arrays, call.keywords)
        for name, contender in contenders_of(call, peers=True)[0].items():
            contender.run()
            assert truth.off_by(contender.outputs(), expected)[1] == "", (op.name, name)


def test_arrays_side_by_side_are_copies_that_do_not_touch() -> None:
    random = np.random.default_rng(0)
    arrays = (
        random.standard_normal((3, 5)),
        random.integers(0, 9, 7),
        np.float32(2.5).reshape(()),
        np.ones((4, 1), np.int8),
    )
    copies = side_by_side(arrays)
    for array, copy in zip(arrays, copies, strict=True):
        assert copy.dtype == array.dtype and address(copy) % ALIGN == 0
        np.testing.assert_array_equal(copy, array)
        copy[...] = 0
    np.testing.assert_array_equal(arrays[0], np.random.default_rng(0).standard_normal((3, 5)))
    ends = [(address(copy), address(copy) + copy.nbytes) for copy in copies]
    assert all(end + GUARD <= begin for (_, end), (begin, _) in pairwise(ends))


def test_overhead_of_every_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an operation has no kernel in NumPy: that is told."""
    monkeypatch.setattr("alexnet_np.benchmarks.overhead.CALLS", 1)
    monkeypatch.setattr("alexnet_np.benchmarks.overhead.ROUNDS", 1)
    told = {line.split()[0]: line for line in lines()}
    assert told.keys() == OPS.keys()
    assert told["conv2d"].endswith("µs") and told["relu_maxpool2d"].endswith("has no kernel of cpu_numpy")
    assert "cpu_numpy" in OPS["conv2d"].kernels


def test_what_is_off_is_told() -> None:
    expected = {"y": np.array([1.0, -2.0]), "index": np.array([1, 2], np.int32)}
    right = {"y": np.array([1, -2], np.float32), "index": np.array([1, 2], np.int32)}
    assert truth.off_by(right, expected) == (0.0, "")
    error, wrong = truth.off_by({**right, "y": np.array([1, -2.1], np.float32)}, expected)
    assert error == pytest.approx(0.05) and "y is off by 5.0e-02" in wrong
    assert "1 of index differ" in truth.off_by({**right, "index": np.array([1, 3], np.int32)}, expected)[1]
    assert "shape" in truth.off_by({"y": np.ones((2, 1))}, expected)[1]


def test_a_slow_kernel_is_absent_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet_np.benchmarks.operation_rows.MOST_FLOPS", 1)
    call = next(distinct_calls("mini", 2, ("conv2d",)))
    absent = contenders_of(call, peers=False)[1]
    assert "plain loops" in absent["cpu_numba/direct"] and "it refuses" in absent["cpu_numba/winograd"]


@pytest.fixture(scope="module")
def measured(no_waiting: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[record.Record, Path]:
    """A whole benchmark of the smallest network, two rounds of everything, without PyTorch."""
    path = tmp_path_factory.mktemp("bench") / "a.json"
    made = bench.run(WANTED, path, lambda row: None)
    return replace(made, about=machine.describe()), path  # SciPy's BLAS may have come in meanwhile


def test_a_benchmark_is_right_before_and_after(measured: tuple[record.Record, Path]) -> None:
    made, _ = measured
    assert {row.kind for row in made.rows} == {"training", "inference", "operation"}
    for row in made.rows:
        assert row.chosen in row.measured and row.flops > 0 and row.bytes > 0
        for name, m in row.measured.items():
            assert m.wrong == "" and m.error is not None and m.error < 1e-5, (row.name, name)
            assert len(m.seconds) == len(row.roofs.gemm) == len(row.roofs.copy) == 2
    assert {row.chosen for row in made.of("training", "inference")} == {"planned"}


def test_rows_of_disturbed_minutes_are_measured_again(
    measured: tuple[record.Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which they are, and which of two measurements stays, the roofs decide; not how fast the row's own things ran."""
    made, _ = measured
    slow, fast = (deepcopy(made.rows[0]) for _ in range(2))
    gemm = max(float(np.median(row.roofs.gemm)) for row in made.rows)
    for row, share in ((slow, 0.4), (fast, 2.0)):
        row.roofs = Roofs([share * gemm] * 3, [1e9] * 3)
    disturbed = replace(made, rows=[slow, *made.rows[1:]])
    assert disturbed.calm()[0] < 0.5
    unsteady = replace(fast, roofs=Roofs(fast.roofs.gemm, [1e9, 2e9, 8e9, 8e9, 8e9]))
    assert replace(made, rows=[unsteady, fast]).calm() == pytest.approx([1.4e9 / 8e9, 1])
    out, told = tmp_path / "disturbed.json", list[str]()
    for once_more, kept in ((slow, 0.4), (fast, 2.0)):
        rows = [deepcopy(once_more)]
        monkeypatch.setattr(bench, "rows", lambda _, done, rows=rows: [row for row in rows if row.name not in done])
        disturbed.write(out)
        after = bench.run(WANTED, out, lambda row: told.append(row.name), resume=True, again=0.5)
        assert [row.name for row in after.rows] == [row.name for row in made.rows]
        assert np.median(after.rows[0].roofs.gemm) == pytest.approx(kept * gemm)
        assert record.read(out).rows[0].roofs.gemm == pytest.approx(after.rows[0].roofs.gemm, rel=1e-5)
    assert told == [slow.name] * 2
    made.write(out)
    bench.run(WANTED, out, lambda row: told.append(row.name), resume=True, again=0.0)
    assert len(told) == 2
    for wrong, resume, message in ((1.5, True, "from 0 to 1, got 1.5"), (0.5, False, "a record to resume")):
        with pytest.raises(ValueError, match=message):
            bench.run(WANTED, out, lambda row: None, resume=resume, again=wrong)


def test_a_benchmark_is_resumed(measured: tuple[record.Record, Path], tmp_path: Path) -> None:
    made, _ = measured
    path, told = tmp_path / "part.json", list[str]()
    kept = record.Record(made.about, made.threads, made.rows[1:-1])
    kept.write(path)
    before = record.read(path).rows
    bench.run(WANTED, path, lambda row: told.append(row.name), resume=True)
    assert told == [made.rows[0].name, made.rows[-1].name]
    whole = record.read(path)
    assert {row.name for row in whole.rows} == {row.name for row in made.rows}
    assert whole.rows[: len(before)] == before, "what it had stays"
    record.Record({**made.about, "cpu": "another"}, made.threads, made.rows).write(path)
    with pytest.raises(ValueError, match="made with cpu another, here it is"):
        bench.run(WANTED, path, lambda row: None, resume=True)
    record.Record(made.about, made.threads + 1, made.rows).write(path)
    with pytest.raises(ValueError, match="made with threads"):
        bench.run(WANTED, path, lambda row: None, resume=True)


def test_record_table_and_pictures(measured: tuple[record.Record, Path], capsys: pytest.CaptureFixture[str]) -> None:
    made, path = measured
    assert [row.name for row in record.read(path).rows] == [row.name for row in made.rows]
    assert main(["bench", "--table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "mini, operations, batch 2" in shown and "→ " in shown and "images/s" in shown
    assert shown.strip() == table.text(record.read(path)).strip()
    drawn = plots.draw(made, path)
    assert [p.name for p in drawn] == ["a-roofline.png", "a-layers.png"]  # without a peer there is no ratio to draw
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in drawn)


def test_pytorch_without_a_compiler_is_absent_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    def no_compiler(*args: object) -> None:
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", lambda net: no_compiler)
    for row in (
        network_rows.training_row("mini", 2, seconds=0, rounds=2),
        network_rows.inference_row("mini", 2, seconds=0, rounds=2),
    ):
        assert row.absent["torch compiled channels_last"] == "RuntimeError: no C++ compiler"
        assert set(row.peers()) == {"torch", "torch channels_last"}
        assert all(m.error is not None and m.error < 1e-5 and not m.wrong for m in row.measured.values())


def test_a_wrong_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_of = network_rows.loss_of
    monkeypatch.setattr(network_rows, "loss_of", lambda *args, **options: 1.01 * loss_of(*args, **options))
    row = network_rows.training_row("mini", 2, seconds=0, rounds=1, peers=False)
    assert "off by 9.9e-03" in row.measured["eager"].wrong


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_memory_of_a_plan_is_measured_in_a_process_of_its_own() -> None:
    """Nor does the peak of this process, which is higher, count."""
    here = np.ones(200 << 20, np.uint8)
    found = network_rows.memory_of("cifar", 512)
    assert memory.peak() > here.nbytes > found["measured"]
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.1)


def test_an_operation_row_survives_a_kernel_that_raises() -> None:
    @ops.relu.kernel("cpu_numpy/raises")
    def raises(x: object, *, out: object) -> None:
        raise ArithmeticError("no")

    try:
        row = operation_row("mini", 2, next(distinct_calls("mini", 2, ("relu",))), seconds=0, rounds=1, peers=False)
    finally:
        del ops.relu.kernels["cpu_numpy/raises"]
        ops.relu.changed()
    assert row.absent["cpu_numpy/raises"] == "it raises ArithmeticError: no" and "cpu_numpy" in row.measured
