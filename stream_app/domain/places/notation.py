"""OpenStreetMap's notation of opening hours, cut into its rules: as far as is needed to change them.

`opening-hours-py` is who understands it (see hours.py); here a text only comes apart into rules, and a rule into days,
times and what they mean:

    Mo-Fr,PH 10:00-18:00; Su off   ->   ("", "Mo-Fr,PH", "10:00-18:00", ""), ("; ", "Su", "", "off")

- A comma and a space between two weekdays, two dates or two times make a list, as people mean it: to the library
  `Mo-Fr, Sa 10:00-18:00` is open day and night from Monday to Friday.
- Refused is what readers of the notation take for different things, or what would need another clock: a holiday and a
  weekday with no comma between them (`PH Sa`), and the sun (`sunrise-sunset`), whose times depend on the machine's
  mathematics and on a second set of time zones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_WEEKDAY = "(?:Mo|Tu|We|Th|Fr|Sa|Su)"
_MONTH = f"(?:{'|'.join(MONTHS)})"
_HOLIDAY = r"(?:PH|SH)(?:\s*[+-]\s*\d+\s*days?)?"
_DAY = rf"(?:{_HOLIDAY}|{_WEEKDAY}(?:\s*-\s*{_WEEKDAY})?(?:\[[^\]]*\])?(?:\s*[+-]\s*\d+\s*days?)?)"
_SPAN = r"\d\d?:\d\d(?:\s*-\s*\d\d?:\d\d)?\+?(?:/\d+(?::\d\d)?)?"
_COMMENTS = re.compile(r'("[^"]*")')
_SEPARATORS = re.compile(r"\s*(;|\|\||,\s)\s*")
_SPACED = {";": "; ", "||": " || "}
_LISTS = (
    re.compile(rf"(?i:(\b(?:PH|SH|{_WEEKDAY})(?:\[[^\]]*\])?)\s*,\s+(?=(?:PH|SH|{_WEEKDAY})\b))"),
    re.compile(rf"(?i:(\b{_MONTH}(?:\s*\d\d?)?)\s*,\s+(?=(?:\d{{4}}\s*)?{_MONTH}\b))"),
    re.compile(r"(\d\d?:\d\d\+?)\s*,\s+(?=\d\d?:\d\d)"),
)
_RULE = re.compile(
    rf"(.*?)\s*((?:{_SPAN}(?:\s*,\s*{_SPAN})*)?)\s*((?i:open|off|closed|unknown)?\s*(?:\"[^\"]*\")?)",
    re.DOTALL,
)
_DAYS = re.compile(rf"(?i:\b{_DAY}(?:\s*,\s*{_DAY})*)$")
_AMBIGUOUS = re.compile(rf"(?i:\b{_HOLIDAY}\s+{_WEEKDAY}\b|\b{_WEEKDAY}(?:\[[^\]]*\])?\s+(?:PH|SH)\b)")
_SUN = re.compile(r"(?i:\b(dawn|sunrise|sunset|dusk)\b)")


class HoursError(ValueError):
    """Opening hours that can't be read; the message says why, and holds nothing of the text."""


class Rule(NamedTuple):
    """A rule of a text: what joins it to the one before, which days, which times, and what they mean."""

    separator: str
    """`; ` replaces what rules before it said of the same days, `, ` adds to it, ` || ` is for when they say closed."""
    days: str
    times: str
    meaning: str
    """`off`, `unknown` or nothing, and a comment."""

    @property
    def is_off(self) -> bool:
        """Whether it closes rather than opens."""
        return self.meaning.lower().startswith(("off", "closed"))


def with_lists(text: str) -> str:
    """Return a text with its lists written so that the library takes them for lists.

    Raises:
        HoursError: It says what is refused.
    """
    pieces = _COMMENTS.split(" ".join(text.split()))
    for n in range(0, len(pieces), 2):  # the others are comments
        for pattern in _LISTS:
            pieces[n] = pattern.sub(r"\1,", pieces[n])
    bare = "\0".join(pieces[::2])
    if _SUN.search(bare):
        raise HoursError("the sun's times are not supported: write them as times of the day")
    if _AMBIGUOUS.search(bare):
        raise HoursError(
            "a holiday and a weekday stand side by side: put a comma between them, which means either"
        )
    return "".join(pieces)


def cut(text: str) -> list[Rule]:
    """Cut a text `with_lists` into its rules."""
    rules, separator, said = [], "", ""
    # Comments keep their semicolons: a text is cut outside of them only.
    for n, piece in enumerate(_COMMENTS.split(text)):
        parts = [piece] if n % 2 else _SEPARATORS.split(piece)
        for m, part in enumerate(parts):
            if m % 2:
                rules.append(_rule(separator, said))
                separator, said = _SPACED.get(part, ", "), ""
            else:
                said += part
    return [*rules, _rule(separator, said)] if said else rules


def joined(rules: Iterable[Rule]) -> str:
    """Return the text of rules."""
    said = [
        (rule.separator, " ".join(part for part in (rule.days, rule.times, rule.meaning) if part))
        for rule in rules
    ]
    return "".join((separator if n else "") + text for n, (separator, text) in enumerate(said))


def days_of(rule: Rule) -> tuple[str, list[str]]:
    """Return which months, weeks or years a rule is for, and the weekdays and holidays, one by one."""
    found = _DAYS.search(rule.days)
    if found is None:
        return rule.days, []
    return rule.days[: found.start()].strip().rstrip(":"), re.split(r"\s*,\s*(?![^\[]*\])", found[0])


def _rule(separator: str, said: str) -> Rule:
    found = _RULE.fullmatch(said.strip())
    assert found is not None, "what is no times and no meaning is days"  # noqa: S101
    return Rule(separator, found[1].strip(), found[2], found[3].strip())
