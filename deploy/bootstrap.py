"""Find a Python that is new enough and let it prepare the environment (`setup_environment.py`).

Run by `make setup` with whatever `python3` is there. It is written so that every Python since 2.7 can read
it: an old one has to be told apart by a sentence, not by a syntax error.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)
TRIED = ("python3.11", "python3.12", "python3.13", "python3.14")
QUESTION = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
NO_VENV = "import sys; sys.exit(sys.version_info < (3, 11))"


def answers_yes(python, question):
    """Tell whether a Python runs this question and exits with 0."""
    try:
        with open(os.devnull, "w") as nowhere:
            return subprocess.call([python, "-c", question], stdout=nowhere, stderr=nowhere) == 0
    except OSError:
        return False


def main():
    """Hand over to the first Python that fits; exit with 3 and one sentence when there is none."""
    candidates = (sys.executable,) + TRIED  # noqa: RUF005 - not in Python 2
    for python in candidates:
        if answers_yes(python, QUESTION):
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "setup_environment.py")
            return subprocess.call([python, script] + sys.argv[1:])  # noqa: RUF005 - not in Python 2
    found = "%d.%d" % sys.version_info[:2]
    without_venv = [python for python in candidates if answers_yes(python, NO_VENV)]
    if without_venv:
        sys.stderr.write(
            "setup: %s comes without its venv module: install it (on Debian and Ubuntu: "
            "apt install python3-venv), then run make again.\n" % without_venv[0]
        )
    else:
        sys.stderr.write(
            "setup: Python 3.11 or later is needed, and `python3` is %s: install a newer one, or name one "
            "with `make setup PYTHON=/path/to/python3.11`.\n" % found
        )
    return 3


if __name__ == "__main__":
    sys.exit(main())
