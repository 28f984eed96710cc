"""One run in a folder at a time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path

from filelock import FileLock, Timeout

from ..whole_files import missing

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and keep others out of it inside the block, but for this thread, which may come in again.

    The lock is the operating system's, on the file `.lock`: it ends with the process, however that ends. The file
    stays; but where nothing else came into a new folder, both go. Warns on a file system without locks. Raises
    ValueError where another run has the folder, OSError where it cannot be written to.
    """
    made = missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, is_singleton=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(f"another process trains in {folder}; wait for its end, or give another --out") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in (ENOLCK, ENOSYS, EOPNOTSUPP):
            raise OSError(f"cannot write {folder / LOCK}: {error.strerror}") from None
        warnings.warn(f"{folder} is on a file system without locks: run no second training there", stacklevel=3)
        yield
        return
    try:
        yield
    finally:
        if made and list(folder.iterdir()) == [folder / LOCK]:
            (folder / LOCK).unlink()
            for place in made:
                place.rmdir()
        lock.release()
