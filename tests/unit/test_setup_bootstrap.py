"""`make setup` on machines that lack something: one sentence and exit code 3."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
SOURCES = sorted(ROOT.glob("stream_app/**/*.pyx"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup() -> ModuleType:
    return load("setup_environment")


def fake_python(folder: Path, name: str, answer: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


def test_the_bootstrap_holds_nothing_that_an_old_python_cannot_read():
    tree = ast.parse((ROOT / "deploy" / "bootstrap.py").read_text())
    too_new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef, ast.Nonlocal)
    assert [node for node in ast.walk(tree) if isinstance(node, too_new)] == []
    assert all(
        argument.annotation is None
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for argument in node.args
    )
    imported = [node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert imported == ["os", "subprocess", "sys"]


def test_an_old_python_is_told_so_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    bootstrap = load("bootstrap")
    monkeypatch.setattr(bootstrap.sys, "executable", str(fake_python(tmp_path, "python3", "exit 1")))
    monkeypatch.setenv("PATH", "")
    assert bootstrap.main() == 3
    said = capsys.readouterr().err
    assert said.startswith("setup: Python 3.11 or later is needed")
    assert said.count("\n") == 1


def test_a_newer_python_on_the_path_takes_over_from_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bootstrap = load("bootstrap")
    fake_python(tmp_path, "python3.12", f'case "$1" in -c) exit 0;; esac\necho "$@" > {tmp_path}/ran')
    monkeypatch.setattr(bootstrap.sys, "executable", str(fake_python(tmp_path, "python3", "exit 1")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.main() == 0
    assert "setup_environment.py" in (tmp_path / "ran").read_text()


def test_a_python_without_venv_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    bootstrap = load("bootstrap")
    without = fake_python(tmp_path, "python3", 'case "$2" in *ensurepip*) exit 1;; esac\nexit 0')
    monkeypatch.setattr(bootstrap.sys, "executable", str(without))
    monkeypatch.setenv("PATH", "")
    assert bootstrap.main() == 3
    assert "apt install python3-venv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("error: No space left on device (os error 28)", "the disk is full"),
        ("NewConnectionError: Failed to establish a new connection", "no network"),
        ("  Caused by: dns error: failed to lookup address", "no network"),
        ("error: Hash mismatch for `faust`", "make lock"),
        ("error: something else", "something else"),
    ],
)
def test_what_went_wrong_is_said_in_a_sentence(setup: ModuleType, capsys, printed: str, sentence: str):
    with pytest.raises(SystemExit) as end:
        setup.explain("installing the packages", ["Resolved 95 packages", printed])
    assert end.value.code == 3
    assert sentence in capsys.readouterr().err


def test_a_finished_environment_is_left_alone(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "raccord").touch()
    (tmp_path / "stamp").write_text(setup.digest())
    monkeypatch.setattr(setup, "VENV", tmp_path)
    monkeypatch.setattr(setup, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(setup, "run", lambda _command: pytest.fail("nothing was to be run"))
    setup.main()
    assert capsys.readouterr().out == ""


def without_native(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, code: int, output: list[str]
) -> list[str]:
    """Let the native part be built by a command that ends so; return the command's arguments."""
    ran: list[str] = []

    def run(command: list[str | Path]) -> tuple[int, list[str]]:
        ran.extend(str(part) for part in command)
        return code, output

    monkeypatch.setattr(setup, "run", run)
    setup.build_native()
    return ran


def test_without_a_compiler_the_native_part_is_removed_and_a_sentence_says_so(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler") + " -pthread")
    assert setup.lacking() == "C compiler"
    assert without_native(setup, monkeypatch, 0, [])[-1] == "--remove"
    said = capsys.readouterr().out
    assert "there is no C compiler" in said
    assert said.count("\n") == 1


def test_without_pythons_headers_a_sentence_says_what_to_install(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CC", str(fake_python(tmp_path, "cc", "exit 0")))
    monkeypatch.setattr(setup.sysconfig, "get_path", lambda _name: str(tmp_path))
    assert "python3-dev" in setup.lacking()


def test_a_native_part_that_cannot_be_built_is_no_failure_of_setup(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(setup, "lacking", lambda: "")
    ran = without_native(setup, monkeypatch, 1, ["In file included from x.c", "error: gcc failed", ""])
    assert ran == [str(setup.PYTHON), str(setup.BUILD_NATIVE)]
    said = capsys.readouterr().out
    assert "without it" in said
    assert "error: gcc failed" in said


def test_the_environment_is_made_anew_when_a_native_source_or_the_compiler_has_changed(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        "requirements.lock": "LOCK",
        "pyproject.toml": None,
        "deploy/build_native.py": "BUILD_NATIVE",
        "stream_app/wire/native_reader.pyx": None,
        "stream_app/domain/profile/native_fold.pyx": None,
        "stream_app/slots.pxd": None,
    }
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "lacking", lambda: "")
    for name, constant in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
        if constant is not None:
            monkeypatch.setattr(setup, constant, tmp_path / name)
    seen = {setup.digest()}
    for name in files:
        (tmp_path / name).write_text("2")
        seen.add(setup.digest())
    monkeypatch.setattr(setup, "lacking", lambda: "C compiler")
    seen.add(setup.digest())
    monkeypatch.setenv("CC", "another")
    seen.add(setup.digest())
    assert len(seen) == 3 + len(files)


def test_the_native_part_is_there_where_c_can_be_compiled(setup: ModuleType):
    if setup.lacking():
        pytest.skip(f"there is no {setup.lacking()}")
    assert [source.name for source in SOURCES if not list(source.parent.glob(f"{source.stem}.*so"))] == []


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_host():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in wanted}
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", LOCK, re.MULTILINE))
    assert names - pinned == set()
    assert LOCK.count("--hash=sha256:") >= len(pinned)
    assert "://" not in LOCK


def test_uv_is_installed_from_its_own_lines_of_the_lock(setup: ModuleType):
    lines = setup.lock_of("uv").splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 1
    assert all("--hash=sha256:" in line for line in lines[1:])


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in targets if f"  make {target} " not in shown] == []


def test_the_makefile_runs_nothing_but_what_is_in_the_environment():
    recipes = [
        line.strip().lstrip("@")
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("\t")
    ]
    allowed = ("$(BIN)/", "$(PYTHON) deploy/", "command -v $(PYTHON)", "if [ -x $(BIN)/", "deploy/lock.sh")
    plain = ("awk", "echo", "rm -rf")
    assert [line for line in recipes if not line.startswith(allowed + plain)] == []
