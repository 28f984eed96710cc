"""What a report shows: words for a pattern, text, plain values, the page; and what does not change a verdict."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops
from alexnet_np.gradient_check.page import page, pictures, worst

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((4, 6))


def tanh_times(spoil: Any) -> Any:
    return np.tanh, lambda dy, x: spoil(dy * (1 - np.tanh(x) ** 2))


def norm_without_mean() -> Any:
    """(x − mean) / std along each row, with a backward that forgets that the mean moves."""

    def normal(x: Any) -> tuple[Any, Any]:
        std = x.std(axis=1, keepdims=True)
        return (x - x.mean(axis=1, keepdims=True)) / std, std

    def backward(dy: Any, x: Any) -> Any:
        y, std = normal(x)
        return (dy - y * (dy * y).mean(axis=1, keepdims=True)) / std

    return (lambda x: normal(x)[0]), backward


def softmax_without_sum() -> Any:
    return (
        lambda x: ops.softmax.definition(x)
    ), lambda dy, x: dy * ops.softmax.definition(x) * (1 - ops.softmax.definition(x))


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (tanh_times(lambda g: -g), "its sign is wrong"),
        (tanh_times(lambda g: g / 4), "off by a factor of 1/N, with N = 4 images"),
        (tanh_times(lambda g: 4 * g), "off by a factor of N, with N = 4 images"),
        (tanh_times(lambda g: 1.5 * g), "off by a factor of 1.5"),
        (tanh_times(lambda g: 0 * g), "it is zero everywhere"),
        (tanh_times(lambda g: np.roll(g, 1, 1)), "it is shifted by 1 along axis 1"),
        (tanh_times(lambda g: np.roll(g, -1, 0)), "it is shifted by -1 along axis 0"),
        (tanh_times(lambda g: g[::-1].copy()), "it is reversed along axis 0"),
        (tanh_times(lambda g: g + (np.arange(6) == 5)), "it is right except where axis 1 is 5 (of 6)"),
        (norm_without_mean(), "its error is constant along axis 1"),
        (softmax_without_sum(), "the term across axis 1 (channels or classes) is missing"),
    ],
)  # fmt: skip
def test_words(pair: Any, words: str) -> None:
    report = anp.gradcheck(pair, X)
    assert not report.ok and words in report.text(), report.text()


def test_digits_that_tell_values_apart() -> None:
    text = anp.gradcheck(tanh_times(lambda g: g * (1 + 1e-9)), X).text()
    found = re.search(r"WRONG at .*?: (\S+), .*: (\S+) ±", text)
    assert found and found[1] != found[2]


def test_text_in_colour_marks_what_is_wrong() -> None:
    report = anp.gradcheck(tanh_times(lambda g: 2 * g), X)
    assert "\x1b[1;31m" in report.text(colour=True) and "\x1b" not in report.text()
    assert "\x1b" not in anp.gradcheck(tanh_times(lambda g: g), X).text(colour=True)


def test_plain_values_are_json() -> None:
    for spoil in (lambda g: g, lambda g: np.where(g > 0, g, np.nan)):
        report = anp.gradcheck(tanh_times(spoil), X, seed=3)
        again = json.loads(json.dumps(report.json(), allow_nan=False))
        assert again["ok"] == report.ok and again["seed"] == 3
        row = again["gradients"][0]
        assert row["elements"] == row["checked"] == 24 and row["smooth"] == 24 and row["shape"] == [4, 6]
        assert row["oracle"] and row["verdict"] == ("right" if report.ok else "wrong")


class Tags(HTMLParser):
    """Counts tags, and finds what is fetched from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.open: list[str] = []
        self.elsewhere: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("img", "meta", "br", "link"):
            self.open.append(tag)
        self.elsewhere += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_self_contained() -> None:
    right = anp.gradcheck(
        ops.conv2d, RANDOM.standard_normal((2, 2, 5, 5)), RANDOM.standard_normal((3, 2, 3, 3)), np.ones(3)
    )
    wrong = anp.gradcheck(tanh_times(lambda g: g + (np.arange(6) == 5)), X, name="<b>tanh</b>")
    text = page([right, wrong])
    tags = Tags(text)
    assert not tags.open and not tags.elsewhere
    assert tags.counts["img"] == 4 * 4  # four maps for each gradient
    assert "<b>tanh</b>" not in text and "&lt;b&gt;tanh" in text
    assert "right except where axis 1 is 5" in text
    assert Tags(wrong.html()).counts["img"] == 4


def test_maps_and_worst_elements_show_the_error() -> None:
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    row = anp.gradcheck(tanh_times(lambda g: g + (np.arange(6) == 5)), X).rows[0]
    caption, address, _, _ = pictures(row)[2]
    pixels = np.asarray(Image.open(BytesIO(b64decode(address.partition(",")[2]))))
    assert caption == "difference" and pixels.shape == (4, 6, 3)
    assert (pixels[:, :5] == 255).all() and (pixels[:, 5] < 200).any(axis=1).all()
    assert {element.at[-2] for element in worst(row)[:4]} == {"5"}


@pytest.mark.parametrize("step", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_verdict_depends_on_the_step(step: float, dtype: Any) -> None:
    """Six decades of a step that the user gives: right code, a kink at x and one beside it, and 1 % too much."""
    x = np.concatenate([X.ravel(), [0.0, 0.0, 1e-4, -1e-4]]).astype(dtype)
    report = anp.gradcheck(ops.relu, x, step=step)
    assert report.ok, report.text()
    if dtype == np.float64:
        assert (report.rows[0].smooth, report.rows[0].bracketed) == (26, 2)
    assert not anp.gradcheck((lambda x: np.maximum(x, 0), lambda dy, x: 1.01 * dy * (x > 0)), x, step=step).ok
    for op, keywords in ((ops.softmax, {}), (ops.lrn, {"alpha": 0.5})):
        shaped = X.astype(dtype) if op is ops.softmax else X.reshape(1, 6, 2, 2).astype(dtype)
        assert anp.gradcheck(op, shaped, step=step, **keywords).ok
    assert not anp.gradcheck(tanh_times(lambda g: g * g.dtype.type(1.01)), X.astype(dtype), step=step).ok


def test_large_arrays_are_sampled_and_moved_as_a_whole() -> None:
    """The report says how many elements were checked; an error elsewhere is seen along the random direction."""
    x = RANDOM.standard_normal((40, 50))
    report = anp.gradcheck(tanh_times(lambda g: g), x, elements=20)
    assert report.ok and report.rows[0].checked == 20 and report.rows[0].elements == 2000
    assert "20 of   2000 elements, dot test" in report.text()

    def one_row(g: Any) -> Any:
        g[7] *= 1.01
        return g

    report = anp.gradcheck(tanh_times(one_row), x, elements=1)
    assert not report.ok and report.rows[0].oracle == "dot test by differences" and report.rows[0].at == ()
    assert "WRONG along a random direction" in report.text()
