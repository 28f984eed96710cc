"""How good the gradient checker is, as a document: `python -m alexnet_np.benchmarks.study OUT.md`."""

import sys
from pathlib import Path

import numpy as np

from . import planted_in_kernels, planted_mistakes, smallest_error
from .tally import paragraph, rates


def document() -> str:
    around, narrow = planted_mistakes.study(), planted_mistakes.study(np.float32)
    inside, others = planted_in_kernels.study()
    torch = (
        "torch.autograd.gradcheck gets the same mistakes with its defaults, through a thin adapter, on cases where it "
        "accepts the right code."
    )
    return "\n\n".join(
        [
            "# Planted mistakes",
            "How many wrong backwards the gradient checker sees. This page is written by `make study`.",
            f"**In float64, around the gradients and in the kernels: {rates(around, inside)}.**",
            paragraph(torch),
            planted_mistakes.section(around),
            planted_in_kernels.section(inside, others),
            planted_mistakes.section_float32(narrow),
            smallest_error.section(),
        ]
    )


if __name__ == "__main__":
    text = document()
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
