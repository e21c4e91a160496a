"""Where this package chooses, once, between its native part and the Python that it stands for.

Whoever folds takes it from here. The native module knows the Python ones, never the other way round: to them it leaves
whatever is unusual.
"""

from __future__ import annotations

from stream_app.domain.profile import folding
from stream_app.native import WANTED

apply = folding.apply
fold = folding.fold


def take_bounds() -> None:
    """Take over the bounds that the parts of the profile state, where a test has changed them: Python reads them."""


if WANTED:
    try:
        from stream_app.domain.profile import native_fold
    except ImportError:
        pass  # not built: there was no compiler, or it is another version's; or structs are held otherwise
    else:
        apply = native_fold.apply
        fold = native_fold.fold
        take_bounds = native_fold.take_bounds
