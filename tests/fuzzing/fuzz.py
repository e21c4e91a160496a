"""`make fuzz-bytes`: atheris on every surface that bytes of others reach, each for some seconds.

A target begins with its kept corpus and its seeds. What it finds that reaches new code is put aside in
`.fuzzing/<target>/corpus` for the next time; `--keep` merges that, minimised, into the kept corpus, which `make test`
replays. A finding (an exception, an input that takes over ten seconds, a process of over 2 GB) is kept in
`.fuzzing/<target>/findings`, and the command that shows it again is printed.

    python -m tests.fuzzing.fuzz [--seconds N] [--seed N] [--keep] [target ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.extras import ROOT, ensure
from tests.fuzzing.targets import TARGETS

if TYPE_CHECKING:
    from tests.fuzzing.target import Target

HERE = Path(__file__).parent
KEPT = HERE / "corpus"
RESULTS = HERE / "results" / "atheris.json"
WORK = ROOT / ".fuzzing"
TIMEOUT_S = 10
RSS_MB = 2_048
MOST_FILES, MOST_BYTES = 12, 4_096
"""Of a target's kept corpus, beside its seeds: files, and bytes of one."""
_FINAL = {
    "runs": re.compile(r"stat::number_of_executed_units:\s*(\d+)"),
    "runs_per_second": re.compile(r"stat::average_exec_per_sec:\s*(\d+)"),
    "peak_rss_mb": re.compile(r"stat::peak_rss_mb:\s*(\d+)"),
}
_COVERED = re.compile(r"cov: (\d+)")


def main() -> int:
    """Fuzz the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="make fuzz-bytes", description=__doc__.partition("\n")[0])
    parser.add_argument("target", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer's chance")
    parser.add_argument("--keep", action="store_true", help="merge what was found into tests/fuzzing/corpus")
    asked = parser.parse_args()
    if unknown := set(asked.target) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    version = ensure("fuzz", "atheris")
    if version is None:
        print(
            "fuzz-bytes: atheris could not be installed: there are wheels for Linux on x86-64 only, elsewhere it needs"
            " clang. `make fuzz` runs the same targets with hypothesis, on any machine.",
            file=sys.stderr,
        )
        return 3
    print(f"{'target':12} {'runs':>9} {'runs/s':>7} {'edges':>6} {'new':>5} {'peak MB':>8} {'findings':>8}")
    found = {}
    for name in asked.target or TARGETS:
        found[name] = one = {**fuzz(TARGETS[name], asked.seconds, asked.seed), "seconds": asked.seconds}
        print(
            f"{name:12} {one['runs']:9} {one['runs_per_second']:7} {one['edges']:6} {one['new']:5}"
            f" {one['peak_rss_mb']:8} {len(one['findings']):8}",
            flush=True,
        )
        for file in one["findings"]:
            print(f"  again: {sys.executable} -m tests.fuzzing.one {name} {file}")
        publish({name: one}, asked, version)
        if asked.keep:
            keep(TARGETS[name])
    return 1 if any(one["findings"] for one in found.values()) else 0


def fuzz(target: Target, seconds: int, seed: int) -> dict[str, Any]:
    """Fuzz one target."""
    folder = WORK / target.name
    grown, findings = folder / "corpus", folder / "findings"
    for path in (grown, findings):
        path.mkdir(parents=True, exist_ok=True)
    sown = sow(target, folder)
    before, known = set(grown.iterdir()), set(findings.iterdir())
    log = folder / "log"
    with log.open("wb") as out:
        code = run(
            target,
            [
                f"-max_total_time={seconds}",
                f"-seed={seed}",
                f"-timeout={TIMEOUT_S}",
                f"-rss_limit_mb={RSS_MB}",
                f"-max_len={target.longest}",
                f"-artifact_prefix={findings}/",
                "-print_final_stats=1",
                str(grown),
                str(sown),
                *([str(KEPT / target.name)] if (KEPT / target.name).exists() else []),
            ],
            out,
        )
    said = log.read_text("utf-8", "replace")
    new = sorted(str(path.relative_to(ROOT)) for path in set(findings.iterdir()) - known)
    if code and not new:
        raise SystemExit(f"fuzz-bytes: {target.name} ended with {code} and no finding; see {log}")
    stats = {name: int(match[-1]) if (match := shape.findall(said)) else 0 for name, shape in _FINAL.items()}
    covered = [int(number) for number in _COVERED.findall(said)]
    return {
        **stats,
        "edges": max(covered, default=0),
        "new": len(set(grown.iterdir()) - before),
        "findings": new,
    }


def run(target: Target, options: list[str], out: Any) -> int:
    """Run a target's process."""
    command = [sys.executable, "-m", "tests.fuzzing.one", target.name]
    again = WORK / target.name / "again"
    again.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', "utf-8")
    again.chmod(0o755)
    environment = {**os.environ, "RACCORD_FUZZ_AGAIN": str(again)}
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, stdout=out, stderr=out, check=False
    ).returncode


def sow(target: Target, folder: Path) -> Path:
    """Write a target's seeds into a folder."""
    sown = folder / "seeds"
    shutil.rmtree(sown, ignore_errors=True)
    sown.mkdir(parents=True)
    for number, seed in enumerate(target.seeds()):
        (sown / f"{number:03}").write_bytes(seed)
    return sown


def keep(target: Target) -> None:
    """Keep, of what reaches code that the seeds don't, the shortest inputs: libFuzzer merges, and minimises."""
    folder = WORK / target.name
    with (
        tempfile.TemporaryDirectory(prefix="raccord-merge-") as merged,
        (folder / "merge.log").open("wb") as out,
    ):
        for path in sow(target, folder).iterdir():
            shutil.copy(path, Path(merged) / f"seed-{path.name}")
        sources = [
            str(folder / "corpus"),
            *([str(KEPT / target.name)] if (KEPT / target.name).exists() else []),
        ]
        run(target, ["-merge=1", f"-rss_limit_mb={RSS_MB}", merged, *sources], out)
        chosen = [path for path in Path(merged).iterdir() if not path.name.startswith("seed-")]
        chosen = sorted(chosen, key=lambda path: (path.stat().st_size, path.name))
        kept = KEPT / target.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        step = max(1, len(chosen) // MOST_FILES)  # of all lengths, not only the shortest
        for path in chosen[::step][:MOST_FILES]:
            if path.stat().st_size <= MOST_BYTES:
                shutil.copy(path, kept / path.name[:12])


def publish(found: dict[str, Any], asked: argparse.Namespace, version: str) -> None:
    """Write the results; targets that were not run keep theirs."""
    known = json.loads(RESULTS.read_text("utf-8"))["targets"] if RESULTS.exists() else {}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    whole = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "atheris": version,
        "commit": commit.stdout.strip(),
        "seed": asked.seed,
        "timeout_s": TIMEOUT_S,
        "rss_limit_mb": RSS_MB,
        "targets": {name: one for name, one in ({**known, **found}).items() if name in TARGETS},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
