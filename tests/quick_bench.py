"""Benchmarks that take no time: for tests of what they compute and write."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from alexnet_np.benchmarks import harness, roofs


@contextmanager
def quick() -> Iterator[None]:
    """Caches are emptied of a megabyte, threads are not waited for, and the roof's matrices are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_BENCH_FLUSH_MB", "1")
        patch.setattr(harness, "settle", lambda: None)
        patch.setattr(harness, "DOZE", 0)
        patch.setattr(roofs, "SIDE", 64)
        harness._elsewhere.cache_clear()
        try:
            yield
        finally:
            harness._elsewhere.cache_clear()
