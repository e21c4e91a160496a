"""Small worlds for rules: a few event types, properties and minutes, so that coincidences are many.

A world is a case without an expectation: rules, policy, reference data, events in order of arrival, until. Drawn
are rules that the design reads one way only: what the case files call ambiguous is left out where a rule can be
written without it (a rule that repeats or waits for `then` is `per_event`, so nothing opens again while it is open).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

World = dict[str, Any]
Raw = dict[str, Any]

TYPES = ("A", "B", "C", "D")
KEYS = ("k", "l")
START = datetime(2026, 3, 2, 10, tzinfo=UTC)
"""A Monday."""
MINUTES = 12
MINUTE = st.integers(0, MINUTES)
SHORT = st.sampled_from(("0s", "1m", "2m", "3m", "90s"))
LONG = st.sampled_from(("1m", "2m", "3m", "5m"))
NUMBER = st.integers(0, 2)
CHANGE_CONDITIONS = (
    *("new.n > old.n", "new.n < old.n", "!(old.m > 0)", "has(new.m)"),
    *("before.n >= new.n", "!(before.n > 0)", "customer.n >= 1"),
)
"""What is asked where a change opens, and at the due time."""
NOW_CONDITIONS = (
    "now.n > old.n",
    "now.n == new.n",
    "!(now.n == new.n)",
    "now.n < 2 && customer.n >= 0",
    "!has(now.n)",
)
"""What is asked at the due time alone."""
WEATHER_CONDITIONS = (
    *('weather.condition == "rain"', 'weather.condition != "rain"', '!(weather.condition == "rain")'),
    *("weather.temperature_c >= 1", "!(weather.temperature_c >= 1)", "has(weather.condition)"),
    *('season == "spring"', 'season == "autumn"', 'season != "spring" && weather.temperature_c < 2'),
    *('weather.station_id == "v"', 'customer.n >= 1 || weather.condition == "rain"'),
)
"""What is asked of the weather at the due time."""
PLACES = ((10.0, 10.0), (10.7, 10.0), (-10.0, 10.0))
"""Where somebody is, and where the two stores are; the second is so far away from the first station."""
STATIONS = {"v": (10.1, 10.0), "w": (10.3, 10.0), "x": (-10.4, 10.0)}
UNTIL = (START + timedelta(days=9, milliseconds=1)).isoformat()
IDENTIFIERS = {"user_id": "u", "email": "u@example.org", "phone": "+33639981234", "device": "d"}


def timestamp(minute: float) -> str:
    """Return a time of these worlds as text."""
    return (START + timedelta(minutes=minute)).isoformat()


def _sometimes(draw: st.DrawFn, among: int = 3) -> bool:
    return draw(st.integers(1, among)) == among


@st.composite
def patterns(draw: st.DrawFn, *, opened: bool = False, change: bool = False) -> Raw:
    """Draw a pattern; its condition may compare with the opening event (`opened`), and with what changed (`change`)."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=2, unique=True))
    pattern: Raw = {"event": types if len(types) > 1 else types[0]}
    conditions = ["event.n >= 1", "event.n != 1", "!(event.n > 0)", "has(event.n)", "event.n == 'x'"]
    if opened:
        conditions.append("event.n >= opened.n")
    if change:
        conditions += ["event.n >= old.n", "event.n == new.n", "event.n <= before.n"]
    if _sometimes(draw):
        pattern["if"] = draw(st.sampled_from(conditions))
    return pattern


@st.composite
def openings(draw: st.DrawFn, *, keyed: bool) -> Raw:
    """Draw `opens`, but for a sequence with `every`."""
    kind = draw(st.sampled_from(("event", "event", "event", "sequence", "profile", "first", "quiet")))
    if kind == "sequence":
        steps = draw(st.lists(patterns(), min_size=2, max_size=3))
        return {"sequence": steps} | ({"within": draw(LONG)} if draw(st.booleans()) else {})
    if kind == "profile":
        return {"profile": draw(st.sampled_from(("customer.n >= 1", "customer.n == 0 && has(customer.n)")))}
    if kind == "first":
        return {"event": draw(st.sampled_from(TYPES)), "first": True}
    opens = draw(patterns())
    if kind == "quiet" and not keyed:
        opens["quiet_before"] = draw(patterns()) | {"for": draw(st.sampled_from(("1m", "2m", "90s")))}
        if draw(st.booleans()):
            opens["quiet_before"] |= {"for": "90s", "and_before": True}
    return opens


@st.composite
def reference_openings(draw: st.DrawFn, *, keyed: bool) -> Raw:
    """Draw `opens` of a rule that opens on reference data: items are named by `k`, what is looked at is `n`."""
    before = draw(patterns())
    opens: Raw = {
        "reference": draw(st.sampled_from(("product.n", "product.n", "product.n", "product.m"))),
        "event_before": before if "if" in before or draw(st.booleans()) else before["event"],
        "match": "k",
    }
    if _sometimes(draw):
        opens["if"] = draw(st.sampled_from(CHANGE_CONDITIONS))
    if not keyed and _sometimes(draw):
        opens["quiet_before"] = draw(patterns()) | {"for": "90s", "and_before": draw(st.booleans())}
    return opens


@st.composite
def rules(
    draw: st.DrawFn, name: str = "r", priority: int = 0, *, reference: bool = False, weather: bool = False
) -> Raw:
    """Draw a rule of the whole language, `near` aside; with `reference`, one that opens on reference data.

    With `weather`, one whose `if` asks for that.
    """
    keyed = draw(st.booleans())
    rule: Raw = {"name": name, "channel": ["email", "push"], "priority": priority}
    if keyed:
        rule["key"] = "k"
    special = draw(
        st.sampled_from(("", "", "", "repeat", "then", "due_at", *([] if reference else ["every"])))
    )
    rule["opens"] = draw(reference_openings(keyed=keyed) if reference else openings(keyed=keyed))
    if special == "every":
        step = draw(patterns())
        rule["opens"] = {"sequence": [step] * draw(st.integers(2, 3)), "every": True}
    if special == "due_at":
        rule["due_at"] = draw(due_times())
    else:
        rule["after"] = draw(SHORT)
    if special == "repeat":
        rule |= {"repeat": draw(LONG), "repeat_within": draw(LONG)}
    if special == "then":
        rule["then"] = draw(patterns(opened=True, change=reference))
    if special or draw(st.booleans()):
        rule["instances"] = "per_event"
    elif draw(st.booleans()):
        rule["keeps_open"] = draw(patterns(opened=True, change=reference))
    rule |= draw(conditions_and_limits(keyed=keyed, change=reference))
    return rule | {"if": draw(st.sampled_from(WEATHER_CONDITIONS))} if weather else rule


@st.composite
def due_times(draw: st.DrawFn) -> Raw:
    """Draw `due_at`; a local time on the grid of the events."""
    clock = f"10:{draw(MINUTE):02}"
    return draw(
        st.sampled_from(
            (
                {"property": "at"},
                {"property": "at", "offset": "-2m"},
                {"days": 1, "local_time": clock},
                {"weekday": "tuesday", "local_time": clock},
                {"weekday": "monday", "local_time": clock},
            )
        )
    )


@st.composite
def conditions_and_limits(draw: st.DrawFn, *, keyed: bool, change: bool = False) -> Raw:
    """Draw what closes a rule, what it is judged by, and how often it may be sent."""
    found: Raw = {}
    if draw(st.booleans()):
        found["closes"] = draw(patterns(opened=True, change=change))
        found["closes"] |= {"match": "k"} if draw(st.booleans()) else {}
    if _sometimes(draw):
        conditions = ("opened.n >= 1", "customer.n != 1", "!(customer.n > 0)")
        found["if"] = draw(
            st.sampled_from((*conditions, *((*CHANGE_CONDITIONS, *NOW_CONDITIONS) if change else ())))
        )
    if _sometimes(draw):
        found["at_most"] = {"times": draw(st.integers(1, 2))}
        found["at_most"] |= {"per": draw(LONG)} if draw(st.booleans()) else {}
        found["at_most"] |= {"per_key": True} if keyed and draw(st.booleans()) else {}
    if _sometimes(draw, 4):
        found |= {
            "active_from": timestamp(draw(st.integers(0, 4))),
            "active_until": timestamp(draw(st.integers(5, 12))),
        }
    for name in ("grace", "retract_within"):
        if draw(st.booleans()):
            found[name] = draw(st.sampled_from(("0s", "1m", "2m", "3m")))
    if _sometimes(draw, 6):
        found["ignore_caps"] = True
    return found


@st.composite
def policies(draw: st.DrawFn) -> Raw:
    """Draw a policy whose quiet hours and caps lie amid the events."""
    policy: Raw = {"consent_default": draw(st.sampled_from((True, True, False, {"marketing": True})))}
    if draw(st.booleans()):
        begins, ends = draw(st.tuples(MINUTE, MINUTE).filter(lambda pair: pair[0] != pair[1]))
        policy["quiet_hours"] = {"from": f"10:{begins:02}", "to": f"10:{ends:02}"}
        if _sometimes(draw, 4):
            policy["quiet_hours"]["days"] = ["tuesday"]
    if draw(st.booleans()):
        policy["caps"] = draw(st.lists(caps(), min_size=1, max_size=2))
    return policy


@st.composite
def caps(draw: st.DrawFn) -> Raw:
    """Draw a cap."""
    cap: Raw = {"times": draw(st.integers(1, 2))}
    cap |= draw(st.sampled_from(({"window": "calendar", "per": "1d"}, {"window": "rolling", "per": "3m"})))
    return cap | draw(st.sampled_from(({}, {}, {"channel": "email"}, {"purpose": "marketing"})))


@st.composite
def whereabouts(draw: st.DrawFn, event: Raw) -> Raw:
    """Draw what an event says of where she is: a position, a store, or whether it may be known."""
    properties, kind = event["properties"], event["type"]
    if kind == "Consent Changed" and draw(st.booleans()):
        properties["purpose"] = "location"
    elif kind == "Identify" and _sometimes(draw):
        properties["preferred_store"] = draw(st.sampled_from(("s", "t", "u")))
    elif kind in TYPES:
        if draw(st.booleans()):
            properties["latitude"], properties["longitude"] = draw(st.sampled_from(PLACES))
            properties["timezone"] = "UTC"  # that at the position is another matter
        if draw(st.booleans()):
            properties["store_id"] = draw(st.sampled_from(("s", "t", "u")))
    return event


@st.composite
def skies(draw: st.DrawFn) -> Raw:
    """Draw what a station says: a whole row."""
    station = draw(st.sampled_from(sorted(STATIONS)))
    measured = st.fixed_dictionaries(
        {"condition": st.sampled_from(("rain", "clear"))}, optional={"temperature_c": NUMBER}
    )
    latitude, longitude = STATIONS[station]
    return {"station_id": station, "latitude": latitude, "longitude": longitude} | draw(measured)


@st.composite
def weather_words(draw: st.DrawFn) -> Raw:
    """Draw a word about the weather, now and then that a station is gone, or has moved."""
    said = draw(skies())
    station = said.pop("station_id")
    if _sometimes(draw, 8):
        said = {"gone": True}
    elif _sometimes(draw, 8):
        said["latitude"] = draw(st.sampled_from([latitude for latitude, _ in PLACES]))
    return {"time": timestamp(draw(MINUTE)), "reference_change": {"weather": station} | said}


@st.composite
def weather_before(draw: st.DrawFn) -> Raw:
    """Draw where stores are, and what stations said hours before: most of it is too old in a few minutes."""
    since = st.one_of(MINUTE, MINUTE, MINUTE, st.just(300))
    rows = [draw(skies()) | {"time": timestamp(draw(since) - 360)} for _ in range(draw(st.integers(1, 3)))]
    stores = [
        {"id": name, "latitude": latitude, "longitude": longitude}
        for name, (latitude, longitude) in (("s", PLACES[0]), ("t", PLACES[2]))
    ]
    return {"stores": stores, "weather": rows}


@st.composite
def events(draw: st.DrawFn, number: int, before: tuple[str, ...] = ()) -> Raw:
    """Draw an event; its id has a place of its own among those of equal times.

    Most are of the types `before`, if there are any, and rather early; all of these name an item.
    """
    minute = draw(MINUTE)
    kind = draw(st.sampled_from((*before * 4, *TYPES, *TYPES, "Identify", "Consent Changed")))
    if kind in before and draw(st.booleans()):
        minute //= 3
    properties: Raw = {}
    if kind == "Consent Changed":
        properties["consent"] = draw(st.booleans())
        properties |= draw(st.sampled_from(({}, {"purpose": "marketing"}, {"channel": "email"})))
    elif kind == "Identify" or draw(st.booleans()):
        properties["n"] = draw(st.integers(0, 2))
    if kind in before or (kind in TYPES and draw(st.booleans())):
        properties["k"] = draw(st.sampled_from(KEYS))
    if kind in TYPES and draw(st.booleans()):
        properties["at"] = timestamp(minute + draw(st.integers(-1, 5)))
    return {
        "event_id": f"e{number}",
        "time": timestamp(minute + draw(st.sampled_from((0, 0, 0, 1 / 60_000)))),
        "channel": "web",
        "type": kind,
        "identifiers": IDENTIFIERS,
        "properties": properties,
    }


def rows() -> st.SearchStrategy[Raw]:
    """Draw fields of an item: what most rules look at, what few do, a time to be due at."""
    at = st.integers(-1, MINUTES + 5).map(timestamp)
    return st.fixed_dictionaries({"n": NUMBER}, optional={"m": NUMBER, "at": at})


@st.composite
def reference_changes(draw: st.DrawFn) -> Raw:
    """Draw a word about an item: some of its fields, or that it is gone."""
    said = {"gone": True} if _sometimes(draw, 8) else draw(rows())
    if _sometimes(draw, 6):
        said.pop("n", None)  # nothing is said of it: it stays
    return {
        "time": timestamp(draw(MINUTE)),
        "reference_change": {"product": draw(st.sampled_from(KEYS))} | said,
    }


def _types_before(rule: Raw) -> list[str]:
    """List the types of the events by which reference data concern a customer."""
    before = rule["opens"].get("event_before", [])
    found = before["event"] if isinstance(before, dict) else before
    return [found] if isinstance(found, str) else found


def is_change(arrival: Raw) -> bool:
    """Tell whether something that arrives is a word about an item of reference data."""
    return "reference_change" in arrival


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    late: bool = False,
    plain: bool = False,
    reference: bool = False,
    weather: bool = False,
) -> World:
    """Draw a world: events in the order of their times, or, when `late`, in any order and with leaps of the clock.

    `plain`: without what depends on when a thing is found out: policy, consent, limits, closing events,
    conditions. `reference`: one rule at least opens on reference data, and these change among the events.
    `weather`: all rules ask for it, stations speak among the events.
    """
    drawn = [
        draw(
            rules(
                name,
                priority,
                reference=reference and (name == "r" or draw(st.booleans())),
                weather=weather,
            )
        )
        for name, priority in (("r", 1), ("s", 2))[: draw(st.integers(1, 2))]
    ]
    world: World = {"rules": drawn, "policy": {} if plain else draw(policies()), "reference": {}}
    count = draw(st.integers(4 if reference else 1, 9))
    numbers = draw(st.permutations(range(count)))
    before = tuple(kind for rule in drawn for kind in _types_before(rule))
    happened = [draw(events(number, before)) for number in numbers]
    if reference:
        known = draw(st.sampled_from((KEYS, KEYS, KEYS, ("k",), ())))
        world["reference"] = {"products": [{"sku": item} | draw(rows()) for item in known]}
        for change in draw(st.lists(reference_changes(), min_size=3, max_size=8)):
            happened.insert(draw(st.integers(0, len(happened))), change)
    if weather:
        happened = [draw(whereabouts(one)) if "type" in one else one for one in happened]
        happened += draw(st.lists(weather_words(), min_size=draw(st.sampled_from((0, 2))), max_size=5))
        world["reference"] |= draw(weather_before())
    if not late:
        early = draw(st.booleans())  # changes before the events of their time, or behind them
        happened.sort(
            key=lambda one: (
                datetime.fromisoformat(one["time"]),
                is_change(one) is not early,
                one.get("event_id", ""),
            )
        )
    elif draw(st.booleans()):
        leaps = draw(st.lists(st.tuples(st.integers(0, count), MINUTE), max_size=3))
        for place, minute in leaps:
            happened.insert(place, {"advance_to": timestamp(minute)})
    if plain:
        happened = [event for event in happened if event.get("type") != "Consent Changed"]
        for rule in drawn:
            for name in ("closes", "if", "at_most"):
                rule.pop(name, None)
            rule |= {"grace": "99d", "retract_within": "99d"}
    return world | {"events": happened, "until": UNTIL}
