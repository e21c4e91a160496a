"""The abandoned baskets of a REES46 file, computed without any of the project's code: the reference.

A basket is a user's: what she put in since her last purchase. Abandoned: 30 minutes after the last thing put
in or taken out (an event at that very moment still counts) it is worth 20.00 or more; at most one in 3 days.
Users whom a session connects are one. Rows that are cut short don't count.
"""

import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

SILENCE, PAUSE, WORTH = timedelta(minutes=30), timedelta(days=3), 20.0


def abandoned_baskets(path: Path) -> set[tuple[str, int, int]]:
    """Return (user_id of the opening row, its number from 1 below the header, due time in ms)."""
    with path.open(newline="", encoding="utf-8") as file:
        numbered = enumerate(csv.DictReader(file), start=1)
        rows = [(number, row) for number, row in numbered if row["user_session"] is not None]
    user_of: dict[str, str] = {}  # session or user -> another user who is the same, up to one who is herself

    def find(one: str) -> str:
        return one if user_of.get(one, one) == one else find(user_of[one])

    for row in (row for _, row in rows if row["user_session"]):
        user_of[find(row["user_session"])] = find(row["user_id"])
    value: dict[str, float] = {}
    opened: dict[str, tuple[datetime, str, int]] = {}  # user -> due, user_id and number of the opening row
    sent: dict[str, datetime] = {}
    found = set()
    end = (len(rows) + 1, {"event_time": "9999-12-31 00:00:00", "event_type": "end", "user_id": ""})
    for number, row in [*rows, end]:
        now, user = datetime.fromisoformat(row["event_time"][:19] + "+00:00"), find(row["user_id"])
        for who, (due, opener, opening) in sorted(opened.items()):
            if due < now:
                del opened[who]
                if value[who] >= WORTH and due - sent.get(who, due - PAUSE) >= PAUSE:
                    sent[who] = due
                    found.add((opener, opening, round(due.timestamp() * 1000)))
        if row["event_type"] in {"cart", "remove_from_cart"}:
            sign = 1 if row["event_type"] == "cart" else -1
            value[user] = value.get(user, 0.0) + sign * float(row["price"] or 0)
            if sign > 0 or user in opened:
                opened[user] = (now + SILENCE, *opened.get(user, (now, row["user_id"], number))[1:])
        elif row["event_type"] == "purchase":
            value[user] = 0.0
            opened.pop(user, None)
    return found


if __name__ == "__main__":
    for basket in sorted(abandoned_baskets(Path(sys.argv[1])), key=lambda basket: basket[2]):
        print(*basket)  # noqa: T201 - run by hand, it prints what it found
