"""Arrays and texts in a safetensors file of which every byte is covered by a checksum.

    crc32    in the metadata: a checksum of each array's memory and of each text, by name
    header   in the metadata: a checksum of the header, with this field as 00000000: of names, shapes, dtypes and texts

Files without `header`, as earlier versions wrote them, are read too.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..backend import Array, brought
from ..whole_files import replace_whole

ZERO = "00000000"
FIELD = re.compile(rb'"header":"([0-9a-f]{8})"')  # within a text, JSON writes its quotes as \"


class Damaged(ValueError):
    """A file that is not as it was written."""


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata, with their checksums, as a whole or not at all. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # safetensors writes the memory of an array that is not contiguous as if it were, without a word.
    arrays = {name: np.ascontiguousarray(brought(array, "cpu")) for name, array in tensors.items()}
    texts = {**metadata, "header": ZERO}

    def write(partial: Path) -> None:
        save_file(arrays, partial, {**texts, "crc32": json.dumps(_checksums(arrays, texts))})
        _seal(partial)

    try:
        replace_whole(path, write)
    except (SafetensorError, OSError) as error:  # a full disk reaches us as the former
        raise OSError(f"cannot write {path}: {error}") from None


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and texts that were written. Raises Damaged where a byte is another, or it is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            texts: dict[str, str] = file.metadata() or {}
            if "header" in texts:
                texts["header"] = ZERO if _sealed(path) else "another"
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        sums = json.loads(texts.pop("crc32", "{}"))
    except (SafetensorError, ValueError, RecursionError, TypeError, AttributeError) as error:
        # The last two come of a dtype that NumPy lacks.
        raise Damaged(f"{path} is damaged, or no safetensors file: {error}") from None
    found = _checksums(tensors, texts)
    wrong = found.keys() ^ sums.keys() if isinstance(sums, dict) else {"crc32"}
    if wrong := wrong or {name for name in found if found[name] != sums[name]}:
        raise Damaged(f"{path} is damaged: {', '.join(sorted(wrong)[:3])} changed since it was written")
    texts.pop("header", None)
    return tensors, texts


def _checksums(tensors: Mapping[str, Array], texts: Mapping[str, str]) -> dict[str, int]:
    sums = {
        name: zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data) for name, array in tensors.items()
    }
    return sums | {name: zlib.crc32(text.encode()) for name, text in texts.items()}


def _header(path: Path) -> bytes:
    """The bytes before the arrays: eight with the length of a JSON object, little-endian, and the object."""
    with path.open("rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))


def _seal(path: Path) -> None:
    """Put the header's checksum into it."""
    header = _header(path)
    (place,) = FIELD.finditer(header)
    with path.open("r+b") as file:
        file.seek(place.start(1))
        file.write(f"{zlib.crc32(header):08x}".encode())


def _sealed(path: Path) -> bool:
    """Whether the header is the one whose checksum it holds."""
    header = _header(path)
    places = list(FIELD.finditer(header))
    if len(places) != 1:
        return False
    start, end = places[0].span(1)
    return int(places[0][1], 16) == zlib.crc32(header[:start] + ZERO.encode() + header[end:])
