"""The benchmark harness: turns, roofs and the record. Nothing here depends on how long anything takes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from quick_bench import quick

from alexnet_np.benchmarks import harness, machine, roofs
from alexnet_np.benchmarks.record import Measured, Record, Row, read
from alexnet_np.operation import Cost


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with quick():
        yield


def test_turns_are_equal_and_their_order_changes() -> None:
    called: list[str] = []
    names = ["a", "b", "c"]
    taken = harness.in_turns({n: lambda n=n: called.append(n) for n in names}, seconds=0, rounds=20)
    assert {n: len(t) for n, t in taken.items()} == dict.fromkeys(names, 20)
    rounds = [tuple(called[i : i + 3]) for i in range(3, len(called), 3)]
    assert called[:3] == names and Counter(map(frozenset, rounds)) == {frozenset(names): 20}
    assert len(set(rounds)) > 1


def test_the_slow_are_left_behind_by_their_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"ours": 1.0, "our slow one": 4.0, "theirs": 10.0, "their slow one": 40.0, "roof": 50.0}
    monkeypatch.setattr(harness, "timed", lambda run: seconds[run()])
    runs = {name: lambda name=name: name for name in seconds}
    woken: list[str] = []
    taken = harness.in_turns(runs, seconds=0, always=("roof",), apart=("theirs", "their slow one"), before=woken.append)
    few, all_of_them = harness.PATIENCE, harness.LEAST
    assert {name: len(t) for name, t in taken.items()} == {
        "ours": all_of_them, "our slow one": few, "theirs": all_of_them, "their slow one": few, "roof": all_of_them
    }  # fmt: skip
    assert Counter(woken) == {name: len(t) for name, t in taken.items()}


def row(medians: dict[str, float], peers: tuple[str, ...] = ()) -> Row:
    """A row with a copy roof of 100 B/s and a GEMM roof of 10 flop/s."""
    measured = {name: Measured([0.9 * m, m, 1.1 * m], name in peers) for name, m in medians.items()}
    return Row("operation", "paper", 2, 50, 100, measured, roofs.Roofs([10.0], [100.0]), "conv1", "conv2d")


def test_share_of_the_roof_and_ratio_to_the_peer_at_its_best() -> None:
    found = row({"ours": 2.0, "slow": 8.0, "eager": 6.0, "compiled": 4.0}, peers=("eager", "compiled"))
    ours = found.measured["ours"]
    assert found.limit == "GEMM" and found.share(ours) == 2.5  # 50 flop at 10 flop/s are 5 s, done in 2
    assert (found.best(peer=False), found.best(peer=True)) == ("ours", "compiled")
    assert found.ratio(ours) == 2.0 and found.ratio(found.measured["slow"]) == 0.5
    assert row({"ours": 1.0}).ratio(Measured([1.0])) is None


def test_what_is_wrong_is_never_the_best() -> None:
    found = row({"fast": 1.0, "right": 3.0})
    found.measured["fast"].wrong = "y is off by 0.3"
    assert found.best(peer=False) == "right"


def test_record_goes_to_the_disk_and_back(tmp_path: Path) -> None:
    record = Record(machine.describe(), 2, [row({"ours": 2.0, "torch": 4.0}, peers=("torch",))])
    record.write(tmp_path / "a.json")
    back = read(tmp_path / "a.json")
    assert back.rows == record.rows and back.threads == 2 and back.about["numpy"] == np.__version__


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"format": 7}'])
def test_a_file_that_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json"):
        read(tmp_path / "a.json")


def test_roofs_count_what_is_moved_and_multiplied() -> None:
    runs, rates = roofs.runs(Cost(0, 8 << 20), side=64)
    for run in runs.values():
        run()
    found = rates({roofs.GEMM: [1.0, 2.0], roofs.COPY: [0.5, 0.5]})
    assert found.gemm == [2 * 64**3, 64**3] and found.copy == [2.0 * (8 << 20)] * 2
