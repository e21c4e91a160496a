"""The command line: `raccord`, or `python -m stream_app`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code.

    An error that a person can do something about is one sentence on stderr and an exit code
    (`stream_app.errors`), never a stack trace.
    """
    from stream_app.cli import run  # noqa: PLC0415 - so that a Ctrl-C while modules load ends as quietly as later

    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
