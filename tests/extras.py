"""Tools that only a few targets need: an extra of pyproject.toml, installed into .venv when it is asked for."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]


def ensure(extra: str, package: str) -> str | None:
    """Return the version of a package of an extra, installing it if need be; None where it can't be had."""
    try:
        return version(package)
    except PackageNotFoundError:
        pass
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["optional-dependencies"][extra]
    print(f"installing {', '.join(wanted)} (the extra `{extra}`)", file=sys.stderr)
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, *wanted]
    if subprocess.run(command, check=False).returncode:
        return None
    return version(package)
