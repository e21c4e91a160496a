"""Make `.venv` hold what `requirements.lock` says and this project itself; nothing to do when it does.

Uses the standard library only. The packages are installed by uv, which pip fetches from the lock file first;
where uv cannot (no build for this machine, an index that only pip is configured for), pip installs them all.

Last comes the native part (`build_native.py`), where there is a C compiler. It is optional: whatever goes wrong
with it is said in a sentence, and the environment is ready all the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / ".raccord-setup"
BUILD_NATIVE = ROOT / "deploy" / "build_native.py"
PIP_INSTALL: tuple[str | Path, ...] = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install")
NEEDED_BYTES = 1 << 30
MISSING = 3
SHOWN_LINES = 15

NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|Name or service not known|name resolution|dns error"
    r"|Network is unreachable|Connection refused|error sending request|Failed to fetch"
    r"|client error \(Connect\)|ProxyError|Max retries exceeded|nodename nor servname"
)
PROGRESS = re.compile(r"^ *(Resolved|Downloading|Downloaded|Building|Built|Prepared|Installed|Collecting)\b")


def fail(sentence: str) -> NoReturn:
    """End with a sentence and the exit code for something that is missing."""
    print(f"setup: {sentence}", file=sys.stderr)
    sys.exit(MISSING)


def digest() -> str:
    """Return what the environment depends on, as one word: files, where they are, and what compiles C."""
    sources = [LOCK, ROOT / "pyproject.toml", BUILD_NATIVE, *sorted(ROOT.glob("stream_app/**/*.p[yx][xd]"))]
    content = b"".join(source.read_bytes() for source in sources)
    return hashlib.sha256(content + f"{ROOT} {lacking()} {os.environ.get('CC')}".encode()).hexdigest()


def lacking() -> str:
    """Return what is needed for compiling C and isn't there; nothing: ""."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return "C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h (on Debian and Ubuntu: apt install python3-dev)"
    return ""


def explain(what: str, output: list[str]) -> NoReturn:
    """End with the sentence that fits what a failed command printed."""
    text = "\n".join(output)
    if "No space left on device" in text:
        fail(f"the disk is full: {NEEDED_BYTES >> 20} MB are needed under {ROOT}.")
    if NO_NETWORK.search(text):
        fail(f"no network: {what} needs the Python package index; connect and run make again.")
    if "hash" in text.lower() and "mismatch" in text.lower():
        fail("a package differs from what requirements.lock records: run make again, or `make lock`.")
    end = "\n".join(f"  {line}" for line in output[-SHOWN_LINES:])
    fail(f"{what} failed; what it said last:\n{end}")


def run(command: list[str | Path]) -> tuple[int, list[str]]:
    """Run a command, showing the lines that tell how far it is; return its exit code and all its lines."""
    output = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            output.append(line.rstrip())
            if PROGRESS.match(line):
                print(f"  {line.strip()[:100]}", flush=True)
    return process.returncode, output


def make_venv() -> None:
    """Create `.venv`, or keep the one that is there when its Python still runs and is this one's version."""
    question = f"import sys, pip; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if PYTHON.exists() and run([PYTHON, "-c", question])[0] == 0:
        return
    print(f"creating .venv with Python {sys.version.split()[0]}", flush=True)
    code, output = run([sys.executable, "-m", "venv", "--clear", VENV])
    if code != 0:
        explain("creating .venv", output)


def lock_of(package: str) -> str:
    """Return the lines of the lock file that pin one package."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = start + 1
    while end < len(lines) and lines[end].lstrip().startswith("--hash"):
        end += 1
    return "\n".join(lines[start:end]) + "\n"


def install_packages() -> None:
    """Install what the lock file pins, hashes checked."""
    pip = [*PIP_INSTALL, "--retries", "2", "--require-hashes"]
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder) / "uv.lock"
        only_uv.write_text(lock_of("uv"), encoding="utf-8")
        code, output = run([*pip, "--quiet", "--no-deps", "--only-binary", ":all:", "-r", only_uv])
    if code != 0 and NO_NETWORK.search("\n".join(output)):
        explain("installing the packages", output)
    count = sum("==" in line for line in LOCK.read_text(encoding="utf-8").splitlines())
    print(f"installing the packages of requirements.lock (up to {count})", flush=True)
    if code == 0:
        uv = VENV / "bin" / "uv"
        code, output = run([uv, "pip", "install", "--python", PYTHON, "--require-hashes", "-r", LOCK])
        if code == 0:
            return
    print("uv could not, so pip does it: this takes some minutes", flush=True)
    code, output = run([*pip, "-r", LOCK])
    if code != 0:
        explain("installing the packages", output)


def install_project() -> None:
    """Install this checkout itself, so that edits need no installing."""
    code, output = run([*PIP_INSTALL, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT])
    if code != 0:
        explain("installing the raccord command", output)


def build_native() -> None:
    """Build the native part, or say in a sentence why it isn't there; what an earlier setup built is removed then."""
    missing = lacking()
    if not missing:
        print("building the native part", flush=True)
    code, output = run([PYTHON, BUILD_NATIVE, *(["--remove"] if missing else [])])
    if missing or code != 0:
        why = f"there is no {missing}" if missing else f"the last that was said is: {last_line(output)}"
        print(f"setup: the native part isn't built, and all works without it, slower: {why}", flush=True)


def last_line(output: list[str]) -> str:
    """Return the last line that says something."""
    return next((line.strip()[:200] for line in reversed(output) if line.strip()), "it said nothing")


def main() -> None:
    """Bring `.venv` up to date."""
    wanted = digest()
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted and (VENV / "bin" / "raccord").exists():
        return
    began = time.monotonic()
    if not STAMP.exists() and shutil.disk_usage(ROOT).free < NEEDED_BYTES:
        fail(f"the disk is full: {NEEDED_BYTES >> 20} MB are needed under {ROOT}.")
    # A virtual environment that happens to be active would be what uv installs into.
    os.environ.pop("VIRTUAL_ENV", None)
    try:
        make_venv()
        install_packages()
        install_project()
        build_native()
        STAMP.write_text(wanted, encoding="utf-8")
    except OSError as error:
        explain("setting up .venv", [str(error)])
    print(f"setup: .venv is ready after {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
