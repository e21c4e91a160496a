"""`make mutants`: changes the domain's code in one place at a time, and counts which changes the tests notice.

mutmut makes the changes and runs the tests (https://mutmut.readthedocs.io). This module gives it, for one module of
the domain after another, a copy of the checkout in `.mutants/` and the tests that speak of that module: fast ones,
without a broker, on the Python that stands for the native part. A module has a budget; what is not reached within it
is counted as not checked, and the score is of what was checked. Survivors are kept with their changes in
`.mutants/<module>/survivors.diff`; what was made of them is in survivors.md.

    python -m tests.mutation.mutants [--seconds N] [module ...]      # stream_app/domain/<module>.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.extras import ROOT, ensure

WORK = ROOT / ".mutants"
RESULTS = Path(__file__).parent / "results" / "mutants.json"
COPIED = ("stream_app", "schemas", "connectors", "tests", "docs", "README.md", "CHANGELOG.md")
BUDGET = 600
"""Seconds for a module."""

_IDENTIFIERS = [
    "unit/test_identifiers.py",
    "unit/test_identifiers_hashed.py",
    "unit/test_identifiers_policy.py",
]
_CUSTOMERS = [
    "unit/test_partition.py",
    "unit/test_component.py",
    "unit/test_resolver.py",
    "unit/test_quarantine.py",
    "unit/test_timeline.py",
    "unit/test_repair_steps.py",
    "property/test_identity_oracle.py",
]
_FROM_SCRATCH = "property/test_identities_incremental.py"
"""Ten seconds: what is kept up to date is held against what is computed from scratch, and against the oracle."""
_RULES = [
    "unit/test_rule_cases.py",
    "unit/test_rule_case_files.py",
    "unit/test_rule_settling.py",
    "unit/test_rule_baskets.py",
    "unit/test_rule_trace.py",
    "unit/test_rule_telling.py",
]
_SENDING = [
    "unit/test_rule_limits.py",
    "unit/test_sending_policy.py",
    "unit/test_rule_cases.py",
    "unit/test_rule_case_files.py",
]
_LANGUAGE = [
    "unit/test_rule_conditions.py",
    "unit/test_rule_loader.py",
    "unit/test_segments.py",
    "property/test_plain_comparisons.py",
]
MODULES: dict[str, list[str]] = {
    "customer_id": ["unit/test_customer_id.py"],
    "normalise": _IDENTIFIERS,
    "identifiers": _IDENTIFIERS,
    "partition": ["unit/test_partition.py", "unit/test_component.py", "unit/test_explain.py"],
    "clusters": ["unit/test_partition.py", "unit/test_component.py", "unit/test_explain.py", _FROM_SCRATCH],
    "verdicts": ["unit/test_component.py", "unit/test_resolver.py", "unit/test_explain.py"],
    "quarantine": ["unit/test_quarantine.py", "unit/test_component.py", _FROM_SCRATCH],
    "rules/times": ["unit/test_rule_times.py", "unit/test_rule_loader.py", "unit/test_sending_loader.py"],
    "rules/limits": _SENDING,
    "rules/quiet_hours": ["unit/test_sending_policy.py", "unit/test_sending_loader.py"],
    "rules/sending": _SENDING,
    "rules/settle": _RULES,
    "rules/fold": _RULES,
    "local_time": ["property/test_local_time.py"],
    "timeline": ["unit/test_timeline.py", "unit/test_component.py"],
    "policy": _IDENTIFIERS,
    "rules/syntax": _LANGUAGE,
    "rules/conditions": _LANGUAGE,
    "identities": _CUSTOMERS,
    "ownership": _CUSTOMERS,
    "drain": _CUSTOMERS,
    "labels": [*_IDENTIFIERS, "unit/test_resolver.py"],
    "hashing": _IDENTIFIERS,
    "rules/sequences": _RULES,
    "rules/due": _RULES,
    "rules/applying": _RULES,
}
"""What is mutated by default, and by which tests it is judged, in this order."""

_STATUS = {0: "survived", 1: "killed", 3: "killed", 5: "no_tests", 33: "no_tests", None: "not_checked"}
_TIMEOUTS = {36, 24, -24, 152, 255}
_CRASHES = {-11, -9}


def main() -> int:
    """Mutate the modules that are named, or all; print and publish how many changes were noticed."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("module", nargs="*", help=f"of stream_app/domain: {', '.join(MODULES)}")
    parser.add_argument("--seconds", type=int, default=BUDGET, help="for a module")
    asked = parser.parse_args()
    if unknown := set(asked.module) - set(MODULES):
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}: add it to MODULES in {__file__}")
    mutmut = ensure("mutants", "mutmut")
    if mutmut is None:
        print("mutants: mutmut could not be installed; is there a network?", file=sys.stderr)
        return 3
    print(
        f"{'module':20} {'mutants':>7} {'killed':>7} {'survived':>8} {'no test':>7} {'left':>5} {'score':>6}"
    )
    for module in asked.module or MODULES:
        found = mutate(module, asked.seconds)
        publish(module, found, mutmut)
        score = "-" if found["score"] is None else f"{found['score']:.1%}"
        print(
            f"{module:20} {found['mutants']:7} {found['killed']:7} {found['survived']:8} {found['no_tests']:7}"
            f" {found['not_checked']:5} {score:>6}",
            flush=True,
        )
    print(f"survivors: .mutants/<module>/survivors.diff; published in {RESULTS.relative_to(ROOT)}")
    return 0


def mutate(module: str, seconds: int) -> dict[str, Any]:
    """Run mutmut on one module, for so long at most, and return what became of its mutants."""
    folder = checkout(module)
    started = time.monotonic()
    log = folder / "mutmut.log"
    environment = {**os.environ, "RACCORD_NATIVE": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    meta = folder / "mutants" / "stream_app" / "domain" / f"{module}.py.meta"
    if not meta.exists():
        raise SystemExit(f"mutants: mutmut made nothing of {module}; see {log}")
    codes: dict[str, int | None] = json.loads(meta.read_text("utf-8"))["exit_code_by_key"]
    became = {name: status(code) for name, code in codes.items()}
    survivors = sorted(name for name, what in became.items() if what in {"survived", "no_tests"})
    (folder / "survivors.diff").write_text(shown(folder, module, survivors), "utf-8")
    count = Counter(became.values())
    checked = len(became) - count["not_checked"]
    noticed = count["killed"] + count["timeout"] + count["crash"]
    return {
        "mutants": len(became),
        "killed": noticed,
        "of_these_by_timeout": count["timeout"],
        "survived": count["survived"],
        "no_tests": count["no_tests"],
        "not_checked": count["not_checked"],
        "score": round(noticed / checked, 4) if checked else None,
        "seconds": round(time.monotonic() - started),
        "tests": MODULES[module],
        "survivors": [name.removeprefix("stream_app.domain.") for name in survivors],
    }


def status(code: int | None) -> str:
    """Say what an exit code of mutmut's worker means."""
    if code in _TIMEOUTS:
        return "timeout"
    return "crash" if code in _CRASHES else _STATUS.get(code, "killed")


def checkout(module: str) -> Path:
    """Make a copy of what the tests need, without native modules, that has mutmut change one file."""
    folder = WORK / module.replace("/", ".")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    leave = shutil.ignore_patterns("*.so", "__pycache__", "*.c", "corpus")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        else:
            shutil.copy(ROOT / name, folder / name)
    tests = [f"tests/{test}" for test in MODULES[module]]
    settings = {
        "source_paths": ["stream_app"],
        "only_mutate": [f"stream_app/domain/{module}.py"],
        "also_copy": [name for name in COPIED if name not in {"stream_app", "tests"}],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-q", "-m", "not broker and not bench"],
        "pytest_add_cli_args_test_selection": tests,
        "timeout_multiplier": 4.0,
        "timeout_constant": 3.0,
        "use_git_change_detection": False,
        "use_setproctitle": False,
        "track_dependencies": False,
    }
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{lines}\n", "utf-8")
    return folder


def shown(folder: Path, module: str, names: list[str]) -> str:
    """Return mutants' changes as diffs; `mutmut show` starts a process for each."""
    command = [sys.executable, "-c", _SHOW, f"stream_app/domain/{module}.py", *names]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


_SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[2:]:
    print("#", name)
    print(get_diff_for_mutant(name, path=sys.argv[1]))
"""


def publish(module: str, found: dict[str, Any], mutmut: str) -> None:
    """Write a module's result among those of the others."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"modules": {}}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found["commit"] = commit.stdout.strip()
    modules = {**known["modules"], module: found}
    checked = sum(one["mutants"] - one["not_checked"] for one in modules.values())
    killed = sum(one["killed"] for one in modules.values())
    domain = ROOT / "stream_app" / "domain"
    every = {
        str(path.relative_to(domain))[:-3] for path in domain.rglob("*.py") if path.name != "__init__.py"
    }
    whole = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "mutmut": mutmut,
        "checked": checked,
        "killed": killed,
        "score": round(killed / checked, 4) if checked else None,
        "modules": modules,
        "not_run": sorted(every - set(modules)),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
