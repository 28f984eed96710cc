"""Writes README's table of variants: `python -m alexnet_np.benchmarks.readme [README.md]`."""

import re
import sys
from math import prod
from pathlib import Path

from alexnet_np.models import VARIANTS, alexnet

CLASSES = {"cifar": 10, "fashion": 10, "mini": 10}


def variants() -> str:
    """One row for each variant: input, parameters, multiply-adds of an image, and what it is."""
    lines = ["| variant | input | parameters | multiply-adds | what it is |", "|---|---|---|---|---|"]
    for name, variant in VARIANTS.items():
        model = alexnet(name, CLASSES.get(name, 1000))
        weights = sum(prod(layer.param_specs()[key].shape) for _, layer, key in model.parameters())
        products = sum(cost.flops for layer, cost in model.costs().items() if model[layer].param_specs()) // 2
        channels, height, _ = variant.input_shape
        side = f"{height}" if channels == 3 else f"{height}, grey"
        lines.append(f"| `{name}` | {side} | {weights:,} | {products / 1e6:,.1f} M | {variant.summary} |")
    return "\n".join(lines)


def fill(text: str) -> str:
    """The README with the lines between the markers replaced."""
    return re.sub(
        r"(<!-- variants:.*?-->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{variants()}\n\n{m[2]}", text, flags=re.DOTALL
    )


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
