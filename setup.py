"""The optional compiled kernels; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math"]
# No link flag for OpenMP: the kernels use the runtime that PyTorch has loaded.
OPENMP = ["-fopenmp"] if sys.platform.startswith("linux") else ["-fopenmp-simd"]

setup(
    ext_modules=[
        Extension(
            "prismrec.ops._kernels._kernels",
            sorted(map(str, Path("src/prismrec/ops/_kernels").glob("*.cpp"))),
            extra_compile_args=[] if sys.platform == "win32" else [*FLAGS, *OPENMP],
            depends=["src/prismrec/ops/_kernels/common.h"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
