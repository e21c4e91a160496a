"""What the tests of the intake share: policies, what a record comes to, and events of a few shoppers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent
from stream_app.domain.identifiers import Identifier
from stream_app.domain.labels import Labels
from stream_app.domain.policy import IdentityPolicy
from stream_app.wire import Decoder
from tests.property.test_wire_round_trip import contexts, names, times, values

if TYPE_CHECKING:
    from stream_app.wire.limits import Limits

KEY = b"the key of this deployment"
SPACES = ("user_id", "email", "cookie", "phone", "card")
CLOCK = -(2**62)
SOURCE = "channel.web/3/"


def policy(*hashed: str, blocked: str = "guest") -> IdentityPolicy:
    spaces = [
        {"name": name, "priority": place, "kind": "person", "hashed": name in hashed}
        for place, name in enumerate(SPACES, 1)
    ]
    return IdentityPolicy.from_mapping({"namespaces": spaces, "default_region": "FR", "blocked": [blocked]})


def intake(
    kind: Any, using: IdentityPolicy | None = None, limits: Limits | None = None, key: bytes = KEY
) -> Any:
    using = using or policy()
    return kind(Decoder(None, limits), Identifier(using, key), Labels(using, key))


def taken(
    taking: Any, value: Any, headers: Any = (), timestamp: Any = 1_790_000_000_000, **other: Any
) -> Any:
    """Return what comes of a record: what was reported, and time, message and key, or the refusal."""
    told: list[Any] = []
    channel, source = other.get("channel", "web"), other.get("source", SOURCE)
    offset, clock = other.get("offset", 12), other.get("clock", CLOCK)
    try:
        found = taking.take(value, headers, channel, timestamp, source, offset, clock, told.append)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other one must say it too
        found = f"{type(error)}: {error}"
    return repr((told, found))


texts = st.sampled_from(
    [
        "a@example.org",
        " A@Example.org ",
        "guest",
        "GUEST",
        "null",
        "",
        "1",
        "1.0",
        "True",
        "true",
        "06 39 98 12 34",
    ]
) | st.text(max_size=30)
one = texts | st.sampled_from([1, 0, True, 1.0, 33639981234, -(2**63)]) | st.none()
sendable = texts | st.sampled_from([1, 0, 33639981234, -(2**63)]) | st.none() | st.lists(texts, max_size=3)
"""What a producer can send as an identifier's value."""
spaces = st.sampled_from([*SPACES, "session"])
identifiers = st.dictionaries(spaces | names, sendable, max_size=4)
events = st.builds(
    ChannelEvent,
    st.text(min_size=1, max_size=256).filter(lambda one: one[0] != "\0"),
    times,
    st.sampled_from(["web", "web", "web", "web", "app", ""]),
    st.text(min_size=1, max_size=100),
    identifiers,
    st.dictionaries(names, values, max_size=6),
    st.none() | times,
    st.none() | times,
    st.none() | contexts,
)
