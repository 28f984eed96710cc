"""Columns of an image for compiled kernels, or a part of them: row (c, r, s) holds what weight (c, r, s) sees.

columns[i, p, q] = x̂[c, (top + p)·stride + r, q·stride + s]      with row first + i being (c, r, s)
"""

from ..compiled import jit


@jit
def inside(element, windows, stride, before, length):  # type: ignore[no-untyped-def]
    """The windows (first, stop) whose element stands inside the plane and not in its padding, along one axis."""
    first = max(0, -((element - before) // stride))
    stop = min(windows, (length - 1 + before - element) // stride + 1)
    return min(first, windows), max(first, stop) if first < windows else windows


@jit
def gather(x, size, stride, before, first, top, columns):  # type: ignore[no-untyped-def]
    """Rows from `first` on, for windows in rows from `top` on, of the image x (C, H, W)."""
    (_, H, W), (_, P, Q) = x.shape, columns.shape
    for i in range(len(columns)):
        c, element = divmod(first + i, size[0] * size[1])
        r, s = divmod(element, size[1])
        q0, q1 = inside(s, Q, stride[1], before[1], W)
        p0, p1 = inside(r + top * stride[0], P, stride[0], before[0], H)
        h = (top + p0) * stride[0] + r - before[0]
        columns[i, :p0], columns[i, p1:] = 0, 0
        if stride[0] == 1 and stride[1] == 1 and Q == W and p0 < p1 and q0 < q1:
            # The rows follow each other here as they do there: one run, that takes some of the neighbouring rows along.
            run = columns[i].reshape(-1)
            _copy(x[c].reshape(-1)[h * W + q0 + s - before[1] :], run[p0 * Q + q0 : (p1 - 1) * Q + q1])
            for p in range(p0, p1):
                for q in range(q0):
                    columns[i, p, q] = 0
                for q in range(q1, Q):
                    columns[i, p, q] = 0
            continue
        for p in range(p0, p1):
            columns[i, p, :q0], columns[i, p, q1:] = 0, 0
            _every(x[c, h, q0 * stride[1] + s - before[1] :], stride[1], columns[i, p, q0:q1])
            h += stride[0]


@jit
def scatter(columns, size, stride, before, first, dx):  # type: ignore[no-untyped-def]
    """The other way: add each element of `columns`, with all rows of windows, to where it was gathered from in dx."""
    (_, H, W), (_, P, Q) = dx.shape, columns.shape
    for i in range(len(columns)):
        c, element = divmod(first + i, size[0] * size[1])
        r, s = divmod(element, size[1])
        q0, q1 = inside(s, Q, stride[1], before[1], W)
        p0, p1 = inside(r, P, stride[0], before[0], H)
        h = p0 * stride[0] + r - before[0]
        if stride[0] == 1 and stride[1] == 1 and Q == W and p0 < p1 and q0 < q1:
            for p in range(p0, p1):
                for q in range(q0):
                    columns[i, p, q] = 0
                for q in range(q1, Q):
                    columns[i, p, q] = 0
            run = columns[i].reshape(-1)
            _add(run[p0 * Q + q0 : (p1 - 1) * Q + q1], dx[c].reshape(-1)[h * W + q0 + s - before[1] :])
            continue
        for p in range(p0, p1):
            _add_every(columns[i, p, q0:q1], dx[c, h, q0 * stride[1] + s - before[1] :], stride[1])
            h += stride[0]


@jit
def _copy(x, target):  # type: ignore[no-untyped-def]
    for i in range(len(target)):
        target[i] = x[i]


@jit
def _every(x, step, target):  # type: ignore[no-untyped-def]
    for i in range(len(target)):
        target[i] = x[step * i]


@jit
def _add(values, target):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        target[i] += values[i]


@jit
def _add_every(values, target, step):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        target[step * i] += values[i]
