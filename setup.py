"""Build script.

`kernels/` and `benchmarks/` stand at the top of the checkout, where a reader looks for them, and are
installed as `alexnet_np.kernels` and `alexnet_np.benchmarks`, because the plain names belong to others.
"""

from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup

TOP_LEVEL = ("kernels", "benchmarks")

setup(
    name="alexnet-np",
    version=run_path("alexnet_np/version.py")["__version__"],
    description="AlexNet from scratch in NumPy and CuPy, every kernel written by hand",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["alexnet_np", "alexnet_np.*"]),
        *(f"alexnet_np.{top}" for top in TOP_LEVEL),
        *(f"alexnet_np.{top}.{name}" for top in TOP_LEVEL for name in find_packages(top)),
    ],
    package_dir={f"alexnet_np.{top}": top for top in TOP_LEVEL},
    package_data={
        "alexnet_np": ["py.typed", "gradient_check/*.html", "study/page/*", "train/recipes/*.toml"],
        "alexnet_np.kernels": ["**/*.cu", "**/*.cuh", "**/*.h"],
    },
    install_requires=[
        "numpy>=2,<2.6",
        "numba>=0.67",
        "safetensors>=0.5",
        "pillow>=11",
        "matplotlib>=3.9",
        "rich>=14.3",
        "jinja2>=3.1",
        # Whose BLAS compiled kernels call.
        "scipy>=1.11",
        "threadpoolctl>=3.5",
        "tyro>=1.0.15",
        "typeguard>=4.1",
        "pooch>=1.8",
        "filelock>=3.16",
    ],
    extras_require={
        "cuda12": ["cupy-cuda12x[ctk]>=14.2", "numba-cuda[cu12]>=0.30.4", "ml_dtypes>=0.5"],
        # 13.0 is the toolkit of driver 580; [ctk] alone would take the newest 13.x.
        "cuda13": ["cupy-cuda13x[ctk]>=14.2", "numba-cuda[cu13]>=0.30.4", "cuda-toolkit==13.0.*", "ml_dtypes>=0.5"],
        # A faster JPEG decoder, with the same pixels; and SciPy, to read meta.mat of the ILSVRC devkit.
        "jpeg": ["simplejpeg>=1.8"],
        "ilsvrc": ["scipy>=1.11"],
        "tensorboard": ["tensorboardX>=2.6"],
        # The release that the committed parity and speed figures were taken against.
        "peers": ["torch==2.13.0"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3",
            "pytest-timeout>=2",
            "hypothesis>=6",
            "build>=1",
            "tensorboardX>=2.6",
            "simplejpeg>=1.8",
            "scipy>=1.11",
            "ruff==0.17.6",
            "mypy==2.4.1",
            # bfloat16, for the emulator too.
            "ml_dtypes>=0.5",
            # Its compilers make machine code for GPUs that are not there.
            "numba-cuda[cu13]>=0.30.4",
        ],
    },
    entry_points={"console_scripts": ["alexnet-np = alexnet_np.cli:main"]},
)
