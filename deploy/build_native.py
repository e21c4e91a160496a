"""Build the native part in place: every `*.pyx` becomes a module beside it. Run by `make setup`, with .venv's Python.

What was built before goes first: a module of older sources must not outlive a build that fails. C sources and objects
are in a temporary folder, so that nothing else is left behind. With --remove, nothing is built anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path.relative_to(ROOT) for path in ROOT.glob("stream_app/**/*.pyx"))


def remove_built() -> None:
    """Remove the modules of an earlier build, of whatever version of Python."""
    for source in SOURCES:
        for built in (ROOT / source.parent).glob(f"{source.stem}.*so"):
            built.unlink()


def build() -> None:
    """Build all modules, one after the other."""
    from Cython.Build import cythonize  # noqa: PLC0415 - not needed for removing
    from setuptools import Distribution, Extension  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    modules = [
        Extension(".".join(source.with_suffix("").parts), [str(source)], extra_compile_args=["-O2"])
        for source in SOURCES
    ]
    with tempfile.TemporaryDirectory() as folder:
        generated = cythonize(modules, build_dir=folder, quiet=True)
        command = build_ext(Distribution({"name": "raccord", "ext_modules": generated}))
        command.inplace = True
        command.build_temp = folder
        command.ensure_finalized()
        command.run()


if __name__ == "__main__":
    os.chdir(ROOT)
    remove_built()
    if "--remove" not in sys.argv:
        build()
