"""The oracle and the proxy of the chaos suite, alone: whatever is put wrong is told, and what is torn is torn."""

from __future__ import annotations

import copy
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_app.domain.event import Event
from stream_app.embedded.ports import free_ports
from tests.chaos.oracle import Expected, Fire, Found, components, differences, differences_of_rows
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD = ("channel.web", 0, 7)


def event(event_id: str, *identifiers: str) -> Event:
    return Event(event_id, 1_000, "web", "Product Added", identifiers, {}, 1_100, "channel.web/0/1")


def pair() -> tuple[Expected, Found]:
    """Return what must be, and the same as it was found."""
    wanted = Expected(
        read=3,
        refused={BAD: "conflict"},
        events={"e1": event("e1", "cookie:1"), "e2": event("e2", "cookie:2")},
        owner={"e1": "c1", "e2": "c2"},
        profiles={"c1": {"event_count": 1}, "c2": {"event_count": 1}},
        fires={"e1": Fire(due=6_000, known=1_100, sure=True)},
    )
    found = Found(profiles={"c1": {"event_count": 1}, "c2": {"event_count": 1}})
    found.refused[BAD] = ["conflict"]
    found.moves["e1"] = [(0, "c3", None), (1, "c1", "c3")]
    found.moves["e2"] = [(0, "c2", None)]
    found.words["t1"] = [("fire", "e1", 6_000)]
    return wanted, found


WRONG: dict[str, Callable[[Found], object]] = {
    "dead letters: 1 are missing": lambda found: found.refused.clear(),
    "dead letters: 1 are others": lambda found: found.refused.update({BAD: ["poison"]}),
    "dead letters: 1 should not be there": lambda found: found.refused.update({("x", 0, 0): ["poison"]}),
    "in the dead letters twice": lambda found: found.refused[BAD].append("conflict"),
    "whose events are: 1 are missing": lambda found: found.moves.pop("e2"),
    "whose events are: 1 are others": lambda found: found.moves["e2"].append((1, "c1", "c2")),
    "whose revisions are not 0, 1, 2": lambda found: found.moves["e2"].append((0, "c2", None)),
    "have a profile and should not, or the other way": lambda found: found.profiles.pop("c1"),
    "profiles differ, by field: {'event_count': 1}": lambda found: found.profiles["c1"].update(event_count=2),
    "1 triggers are missing": lambda found: found.words["t1"].append(("retract", "e1", 6_000)),
    "1 triggers stand that should not": lambda found: found.words.update(t2=[("fire", "e2", 6_000)]),
    "1 triggers have another due time": lambda found: found.words.update(t1=[("fire", "e1", 6_001)]),
    "whose messages do not alternate": lambda found: found.words["t1"].append(("fire", "e1", 6_000)),
    "have triggers of several ids": lambda found: found.words.update(t2=[("fire", "e1", 6_000)]),
}


def test_where_nothing_is_wrong_nothing_is_told():
    assert differences(*pair()) == []


@pytest.mark.parametrize("told", WRONG)
def test_whatever_is_wrong_is_told(told):
    wanted, found = pair()
    WRONG[told](found)
    assert any(told in line for line in differences(wanted, found))


def test_a_due_time_that_something_late_has_moved_is_not_wrong():
    wanted, found = pair()
    wanted.fires["e1"] = Fire(due=6_000, known=6_500, sure=True)
    found.words["t1"] = [("fire", "e1", 5_900)]
    assert differences(wanted, found) == []


def rows() -> dict[str, dict[bytes, bytes]]:
    """Return rows of stores that belong to `pair`."""
    row = msgspec.msgpack.encode
    timeline = {
        b"t" + name.encode(): row([row([name, 1_000]), customer, 0])
        for name, customer in (("e1", "c1"), ("e2", "c2"))
    }
    return {
        "customer-0": {**timeline, b"c\x00\x02L1": row(["L0"]), b"c\x00\x02L0": row([""]), b"\x01p": b"1"},
        "resolve-0": {b"iL1": row(["L0", [], False])},
    }


def test_rows_that_are_right_and_rebuilt_alike_are_not_told_of_whatever_positions_say():
    after = rows()
    after["customer-0"][b"\x01p"] = b"2"
    assert differences_of_rows(pair()[0], rows(), after) == []


def test_rows_that_differ_are_missing_or_mislead_are_told_of():
    wanted, good = pair()[0], rows()
    lost, other, misled = (copy.deepcopy(good) for _ in range(3))
    del lost["customer-0"][b"te1"]
    other["resolve-0"][b"iL2"] = msgspec.msgpack.encode(["L0", [], False])
    misled["resolve-0"][b"iL1"] = msgspec.msgpack.encode(["L1", [], False])
    assert "live state: whose events are: 1 are missing: e1" in differences_of_rows(wanted, lost, lost)
    assert any("1 rows of resolve-0 differ" in line for line in differences_of_rows(wanted, good, other))
    assert any("1 identifiers lead to" in line for line in differences_of_rows(wanted, misled, misled))


def test_components_are_connected_through_others():
    events = [event("e1", "a", "b"), event("e2", "c", "d"), event("e3", "d", "b"), event("e4", "z")]
    found = {frozenset(one.event_id for one in component) for component in components(events)}
    assert found == {frozenset({"e1", "e2", "e3"}), frozenset({"e4"})}


@contextmanager
def echo() -> Iterator[int]:
    """Run a server that says what it hears; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        def speak(connection: socket.socket) -> None:
            with connection, suppress(ConnectionResetError):
                while said := connection.recv(1_024):
                    connection.sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_proxy_passes_on_hangs_tears_and_refuses():
    (port,) = free_ports(1)
    with echo() as target, Proxy(port, target) as proxy:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            proxy.hang()
            client.sendall(b"two")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(10)
            client.settimeout(10)
            proxy.heal()
            assert client.recv(10) == b"two"
            proxy.tear()
            with pytest.raises(ConnectionResetError):
                client.recv(10)
            assert proxy.torn == 1
        proxy.refuse = True
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as client,
            suppress(ConnectionResetError),
        ):
            assert client.recv(10) == b""
