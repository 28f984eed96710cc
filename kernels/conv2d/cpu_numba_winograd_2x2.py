"""conv2d by the first of Winograd's tiles, F(2 × 2, 3 × 3): 16 products where the definition has 36.

Math     as channels_last.py says, with m = 2 and r = 3, whose matrices hold 0, ±1, ±1/2 and such
Shapes   filters of 3 × 3, at stride 1
Threads  as in cpu_numba_winograd.py
Traffic  V has 4 numbers for each of x, and M 4 for each of y, where a larger tile has fewer; U is 16/9 of the filters
Change   against columns: 1/2.25 of the multiplications, for a few times the rounding error. The rung above takes the
         tile that fits the map, does with fewer still, and rounds more
"""

from .cpu_numba_winograd import rung

rung("cpu_numba/winograd_2x2", 2, error=4.0, only=3)
