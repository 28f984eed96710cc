"""Filters to Winograd's U, and dU back to filters.

Math     U = G w Gᵀ for each pair of channels; dw = Gᵀ dU G
Shapes   w, dw (K, C/G, r, r); U (n², G, C/G, K/G), packed in panels of WIDTH vectors of output channels;
         Uᵀ (n², G, K/G, C/G), packed in panels of input channels; dU (n², G, C/G, K/G), not packed
Threads  none: for the input channels (U, dw) or the output channels (Uᵀ) first … last, counted over groups
Traffic  w once for each; n²/r² times as much written
"""

from ..compiled import jit
from ..panel import WIDTH, item_bytes, vector_bytes
from .transform import transform


@jit
def to_u(tile, vector, r, w, u, buffer, point, groups, first, last):  # type: ignore[no-untyped-def]
    """U of the input channels first … last (of groups · C/G). w: array; u: address; buffer: (r², lanes)."""
    K, C = w.shape[0] // groups, w.shape[1]
    item, size, lanes = item_bytes(vector), vector_bytes(vector), buffer.shape[1]
    for channel in range(first, last):
        g, c = divmod(channel, C)
        for k in range(0, K, lanes):
            for tap in range(r * r):
                for lane in range(lanes):
                    buffer[tap, lane] = w[g * K + k + lane, c, tap // r, tap % r]
            target = u + g * C * K * item + packed(c, k // lanes, C, K // lanes, size)
            transform("weights", tile, buffer.ctypes.data, target, r * size, size, point, 0, 0, r, r, 1, 0, 0)


@jit
def to_ut(tile, vector, r, w, ut, buffer, point, groups, first, last):  # type: ignore[no-untyped-def]
    """Uᵀ of the output channels first … last."""
    K, C = w.shape[0] // groups, w.shape[1]
    item, size, lanes = item_bytes(vector), vector_bytes(vector), buffer.shape[1]
    for channel in range(first, last):
        g, k = divmod(channel, K)
        for c in range(0, C, lanes):
            for tap in range(r * r):
                for lane in range(lanes):
                    buffer[tap, lane] = w[channel, c + lane, tap // r, tap % r]
            target = ut + g * C * K * item + packed(k, c // lanes, K, C // lanes, size)
            transform("weights", tile, buffer.ctypes.data, target, r * size, size, point, 0, 0, r, r, 1, 0, 0)


@jit
def to_dw(tile, vector, r, du, dw, buffer, point, groups, first, last, add):  # type: ignore[no-untyped-def]
    """dw of the input channels first … last, written or added."""
    K, C = dw.shape[0] // groups, dw.shape[1]
    item, size, lanes = item_bytes(vector), vector_bytes(vector), buffer.shape[1]
    for channel in range(first, last):
        g, c = divmod(channel, C)
        for k in range(0, K, lanes):
            source = du + ((g * C + c) * K + k) * item
            transform("dw", tile, source, buffer.ctypes.data, r * size, size, point, 0, 0, r, r, 1, 0, 0)
            for lane in range(lanes):
                for tap in range(r * r):
                    old = dw[g * K + k + lane, c, tap // r, tap % r] if add else 0 * buffer[tap, lane]
                    dw[g * K + k + lane, c, tap // r, tap % r] = old + buffer[tap, lane]


@jit
def packed(row, column, rows, columns, size):  # type: ignore[no-untyped-def]
    """Where a vector of a (rows, columns · lanes) matrix lies once it is packed: bytes from its beginning."""
    panel = column // WIDTH * WIDTH
    return (panel * rows + row * min(WIDTH, columns - panel) + column - panel) * size
