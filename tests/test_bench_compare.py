"""alexnet-np bench --compare: the verdicts on records whose noise is known."""

from pathlib import Path

import numpy as np
import pytest

from alexnet_np.benchmarks.compare import Change, change, compare, quotients
from alexnet_np.benchmarks.record import Measured, Record, Row
from alexnet_np.benchmarks.roofs import Roofs
from alexnet_np.cli import main


def record(seconds: float, noise: float, rounds: int = 9, machine: float = 1.0, name: str = "ours") -> Record:
    """One row, measured on a machine that is so many times slower; noise: relative deviation from round to round."""
    random = np.random.default_rng(round(1e4 * seconds) + rounds)
    taken = seconds * machine * (1 + noise * random.standard_normal(rounds))
    roofs = Roofs([100 / machine] * rounds, [1000.0] * rounds)
    return Record({"cpu": "x"}, 2, [Row("training", "mini", 4, 100, 1, {name: Measured(taken.tolist())}, roofs)])


def verdict(first: Record, second: Record) -> str:
    (found,) = compare(first, second)
    assert isinstance(found, Change)
    return found.verdict


@pytest.mark.parametrize(
    ("factor", "noise", "expected"),
    [
        (1.0, 0.005, "SAME"),
        (1.02, 0.005, "SAME"),
        (0.8, 0.005, "FASTER"),
        (1.25, 0.005, "SLOWER"),
        (1.0, 0.3, "UNCLEAR"),
        (1.15, 0.3, "UNCLEAR"),
        (0.3, 0.1, "FASTER"),
    ],
)
def test_verdicts(factor: float, noise: float, expected: str) -> None:
    assert verdict(record(2.0, noise), record(2.0 * factor, noise)) == expected


def test_a_slower_machine_is_no_slower_kernel() -> None:
    assert verdict(record(2.0, 0.005), record(2.0, 0.005, machine=3.0)) == "SAME"


def test_two_rounds_tell_nothing() -> None:
    assert verdict(record(2.0, 0.001, rounds=2), record(1.0, 0.001)) == "UNCLEAR"


def test_rounds_are_divided_by_their_own_roof() -> None:
    """What slowed the whole machine in one round cancels; rounds that the slow one sat out do not count."""
    row = Row("training", "mini", 4, 100, 1, {"ours": Measured([1.0, 2.0])}, Roofs([100, 50, 10], [1e9] * 3))
    assert quotients(row, row.measured["ours"]).tolist() == [1.0, 1.0]


def test_both_noises_are_told() -> None:
    random = np.random.default_rng(0)
    quiet, loud = (1 + noise * random.standard_normal(15) for noise in (0.002, 0.05))
    found = change("x", quiet, loud)
    assert found.noise[0] < 0.004 < 0.01 < found.noise[
        1
    ] and f"noise ±{found.noise[0]:.1%} and ±{found.noise[1]:.1%}" in str(found)


def test_what_only_one_has_is_told() -> None:
    both = record(1.0, 0.01)
    more = record(1.0, 0.01)
    more.rows[0].measured["new one"] = more.rows[0].measured["ours"]
    assert [str(c).split()[0] for c in compare(both, more)] == ["SAME", "NEW"]
    assert [str(c).split()[0] for c in compare(more, both)] == ["SAME", "GONE"]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(2.0, 0.005).write(tmp_path / "a.json")
    record(1.0, 0.005).write(tmp_path / "b.json")
    record(1.0, 0.005, name="other").write(tmp_path / "c.json")
    assert main(["bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("FASTER  mini training, batch 4, ours: 0.5") and shown.endswith("1 FASTER\n")
    assert main(["bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "c.json")]) == 2
    assert "no row in common" in capsys.readouterr().err
