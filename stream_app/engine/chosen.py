"""Where the engine chooses, once, between its native part and the Python that it stands for.

What runs is what `stream_app.native` says, and what is built. The native module does all that the Python one does.
"""

from __future__ import annotations

from stream_app.engine import layers
from stream_app.native import WANTED

Layers = layers.Layers
"""The hot part of a table."""
if WANTED:
    try:
        from stream_app.engine import native_layers
    except ImportError:
        pass  # not built: there was no compiler, or it is another version's
    else:
        Layers = native_layers.Layers  # type: ignore[misc]
