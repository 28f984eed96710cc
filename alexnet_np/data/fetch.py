"""Downloads of the small public sets, each file checked against a hash from its publisher's page."""

import tarfile
from pathlib import Path
from typing import NamedTuple

import pooch


class Public(NamedTuple):
    """Where a set's files are: name -> hash."""

    url: str
    files: dict[str, str]


SETS: dict[str, Public] = {
    "fashion-mnist": Public(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": Public(
        "https://www.cs.toronto.edu/~kriz/", {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"}
    ),
}


def fetch(name: str, target: Path) -> list[Path]:
    """Download a set's files into a folder, unpack its archive, and return the files' paths.

    A file that is there with the right hash is not loaded again. Raises ValueError for an unknown set and for a file
    with another hash (which is then removed), OSError where there is no connection.
    """
    if name not in SETS:
        raise ValueError(f"unknown set {name!r}; the sets are {', '.join(SETS)}")
    pooch.get_logger().setLevel("WARNING")
    paths = []
    for file, expected in SETS[name].files.items():
        url = SETS[name].url + file
        try:
            paths.append(Path(pooch.retrieve(url, expected, file, target)))
        except OSError as error:
            if not type(error).__module__.startswith(("requests", "urllib3")):
                raise
            raise OSError(f"{url} cannot be loaded ({type(error).__name__}): is there a network connection?") from error
        if file.endswith(".tar.gz"):
            with tarfile.open(paths[-1]) as archive:
                # Debian 12's Python has no filters yet; of what has its publisher's hash nothing is to be feared.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(target)
    return paths
