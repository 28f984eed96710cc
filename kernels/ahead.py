"""Asking for memory before its turn comes: how far ahead, and how much a hint brings.

A processor fetches ahead by itself where addresses run on, but stops at the end of each page, and does not know what is
about to be written. A kernel that goes through memory a small piece at a time may say so. There need not be any memory;
nothing is read. Only so many answers can be waited for at a time, and loops with little to do are slower for each hint:
it is to be measured, and for each cache by itself. LRN, which has much to do, gains by hints into the second cache
alone, to read even what it is going to write; random numbers, into the first.
"""

AHEAD = 4096  # bytes: a page, which takes longer than the memory's answer
LINE = 64  # bytes that one hint brings
