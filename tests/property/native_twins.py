"""What the tests of the native part share: it and the Python that it stands for must come to the same."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROUNDS = 2_000


def native(name: str, package: str = "stream_app.wire") -> ModuleType:
    """Return a native module, or skip the tests of a file."""
    why = "the native part isn't built: `make setup` does it where there is a C compiler"
    module: ModuleType = pytest.importorskip(f"{package}.{name}", reason=why, exc_type=ImportError)
    return module


def outcome(function: Callable[..., Any], *arguments: Any) -> str:
    """Return what comes of a call, with every value's type: 1 is not 1.0 is not True, and -0.0 is not 0.0."""
    try:
        return repr(function(*arguments))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other one must say it too
        return f"{type(error)}: {error}"


def same(twins: tuple[Callable[..., Any], Callable[..., Any]], *arguments: Any) -> str:
    """Call both, compare, and return what came of it."""
    one, other = (outcome(twin, *arguments) for twin in twins)
    assert one == other
    return one


def forbid(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *names: str) -> None:
    """Make sure that nothing is left to the Python functions."""
    for name in names:
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was left to the Python function"))


def leaks(run: Callable[[], Any]) -> bool:
    """Say whether memory is lost by running something often."""
    blocks = 0
    for _ in range(2):  # the first time fills what is remembered
        gc.collect()
        blocks = sys.getallocatedblocks()
        for _ in range(ROUNDS):
            run()
        gc.collect()
    return sys.getallocatedblocks() - blocks > ROUNDS // 4
