"""Whether the native part may be used: RACCORD_NATIVE=0 turns it off, and it is optional anyway.

What is hottest exists twice: in Python, which says what is right, and in Cython (`*.pyx`), which `make setup` builds
where there is a C compiler. Both give the same for every input; which one runs is chosen at import, in the modules
named `chosen`, one for each package that has a native part.
"""

from __future__ import annotations

import os

_OFF = frozenset({"0", "off", "f", "false", "n", "no"})  # as pydantic reads it, which refuses what is neither
WANTED = os.environ.get("RACCORD_NATIVE", "1").lower() not in _OFF
