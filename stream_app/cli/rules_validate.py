"""`raccord rules validate`: are these files of rules, segments and policies right? Mistakes have line and column."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stream_app.app import load_named_rule
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.domain.rules import RuleError
from stream_app.domain.rules.located import compose
from stream_app.domain.rules.sending_loader import FIELDS as SENDING
from stream_app.domain.rules.sending_loader import load_sending_policy
from stream_app.domain.segments import load_segment
from stream_app.domain.segments.definition import FIELDS as SEGMENT
from stream_app.errors import Exit, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Document(NamedTuple):
    """A file that is right: what it is, and of a rule or segment its name and version."""

    file: str
    kind: str
    name: str | None = None
    version: int | None = None


class Fault(NamedTuple):
    """What is wrong with a file, and where (from 1)."""

    file: str
    line: int
    column: int
    message: str


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER...", help="Files, or folders with *.yaml files in them."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say whether files of rules, segments and policies are right; exit code 1 when one is not."""
    documents, faults = _judged(_files(paths))
    if as_json:
        said = {
            "documents": [document._asdict() for document in documents],
            "errors": [fault._asdict() for fault in faults],
        }
        typer.echo(json.dumps(said, ensure_ascii=False))
    else:
        for fault in faults:
            typer.echo(f"{fault.file}:{fault.line}:{fault.column}: {fault.message}")
        typer.echo(f"{len(documents)} right, {len(faults)} wrong")
    if faults:
        raise typer.Exit(Exit.FAILED)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that are meant, each once.

    Raises:
        UserError: there are none.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
            if not files:
                msg = f"there are no *.yaml files in {path}"
                raise UserError(msg)
        else:
            files = [path]
        for file in files:
            if file not in seen:
                seen.add(file)
                yield file


def _judged(files: Iterable[Path]) -> tuple[list[Document], list[Fault]]:
    """Look at each file; of two files with the same version of a rule or segment the second is at fault."""
    documents: list[Document] = []
    faults: list[Fault] = []
    first: dict[tuple[str, str | None, int | None], str] = {}
    for file in files:
        found = _look_at(file)
        if isinstance(found, Document) and found.name is not None:
            other = first.setdefault((found.kind, found.name, found.version), found.file)
            if other != found.file:
                message = f"{found.name} version {found.version} is in {other} too; raise one's version"
                found = Fault(found.file, 1, 1, message)
        if isinstance(found, Document):
            documents.append(found)
        else:
            faults.append(found)
    return documents, faults


def _look_at(file: Path) -> Document | Fault:
    """Judge one file.

    Raises:
        UserError: it can't be read.
    """
    name = str(file)
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        msg = f"{file} can't be read: {error.strerror}"
        raise UserError(msg) from error
    except UnicodeDecodeError:
        return Fault(name, 1, 1, "no UTF-8 text")
    if file.suffix == ".yml":
        return Fault(name, 1, 1, "workers read *.yaml: give the file that ending")
    try:
        return _document(text, name)
    except RuleError as error:
        return Fault(name, error.line, error.column, error.message)
    except PolicyError as error:
        return Fault(name, 1, 1, str(error))


def _document(text: str, name: str) -> Document:
    """Read a document by what its fields say that it is.

    Raises:
        RuleError: it is wrong, or none that this version knows.
        PolicyError: it is an identity policy, and wrong.
    """
    whole = compose(text, name, "document")
    fields = whole.names
    if "namespaces" in fields:
        IdentityPolicy.from_yaml(text)
        return Document(name, "identity policy")
    if "segments" in fields:
        whole.fail("segments are not supported by this version")
    if fields & SENDING:
        load_sending_policy(text, name)
        return Document(name, "sending policy")
    if fields.isdisjoint({"name", "opens", "near"}):
        whole.fail(
            "neither a rule (`name`, `opens`), nor a segment (`name`, `if`), nor a policy of identity (`namespaces`) "
            "or of sending (`caps`, ...)"
        )
    if "if" in fields and fields <= SEGMENT:  # a rule has `opens` or `near`
        segment = load_segment(text, name)
        return Document(name, "segment", segment.name, segment.version)
    rule = load_named_rule(text, name)
    return Document(name, "rule", rule.name, rule.version)
