"""What pyproject.toml cannot say: the optional compiled kernels, and a description for package indexes."""

import re
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math"]
# No link flag for OpenMP: the kernels use the runtime that PyTorch has loaded.
OPENMP = ["-fopenmp"] if sys.platform.startswith("linux") else ["-fopenmp-simd"]
PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*")
RELATIVE_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")


class Wheel(bdist_wheel):
    """A wheel for every platform if the kernels could not be built, else one for this platform."""

    def run(self) -> None:
        """Build the kernels first, then the wheel."""
        self.run_command("build_ext")
        outputs = self.get_finalized_command("build_ext").get_outputs()
        if not all(Path(path).exists() for path in outputs):
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()


def description() -> str:
    """README.md without its pictures and relative links, which lead nowhere on an index."""
    readme = Path("README.md").read_text(encoding="utf-8")
    return RELATIVE_LINK.sub(r"\1", PICTURE.sub("", readme))


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
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
    cmdclass={"bdist_wheel": Wheel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
