"""Compares what the oracle says with what a trigger case expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.policy import IdentityPolicy
from tests.property import identity_oracle, rules_oracle
from tests.property.rules_oracle_texts import Raw, as_key, instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.property.rules_oracle import Answer, Message, Owners

NAMESPACES = [
    {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
    {"name": "loyalty", "priority": 2, "kind": "person", "limit": 1},
    {"name": "email", "priority": 3, "kind": "person", "limit": 5},
    {"name": "phone", "priority": 4, "kind": "person", "limit": 5},
    {"name": "device", "priority": 5, "kind": "device", "limit": 20},
    {"name": "cookie", "priority": 6, "kind": "device", "limit": 50},
]
"""Those of the identity examples: a case's own are read where its policy names some."""


def problems(case: Raw, shipped: Mapping[str, Raw]) -> list[str]:
    """Return where the oracle and a case's expectation differ."""
    rules = [shipped[rule] if isinstance(rule, str) else rule for rule in case["rules"]]
    policy = case.get("policy", {})
    identity = IdentityPolicy.from_mapping({"namespaces": policy.get("namespaces", NAMESPACES)})

    def owners(arrivals: Sequence[Raw]) -> Owners:
        return identity_oracle.answer(identity, arrivals).owner

    told = rules_oracle.answer(rules, case["events"], case["until"], policy, case.get("reference"), owners)
    return differences(case["expect"], told)


def differences(expect: Raw, told: Answer) -> list[str]:
    """Return what was expected and did not come out so."""
    found = []
    if "triggers" in expect and not _in_order(expect["triggers"], told):
        found.append(f"triggers: expected {expect['triggers']}, the oracle says {_tell(told.messages)}")
    found += [
        f"held_back: expected {wanted}, the oracle says {_tell(told.held_back)}"
        for wanted in expect.get("held_back", ())
        if not any(_matches(wanted, message, told) for message in told.held_back)
    ]
    net = expect.get("net")
    if isinstance(net, int) and len(told.net) != net:
        found.append(f"net: expected {net}, the oracle says {_tell(told.net)}")
    if isinstance(net, list) and not _assign(net, told.net, told):
        found.append(f"net: expected {net}, the oracle says {_tell(told.net)}")
    return found


def _in_order(wanted: Sequence[Raw], told: Answer) -> bool:
    """Tell whether the messages are those wanted, in order; "equal times in any order"."""
    came = sorted(told.messages, key=lambda message: message.sent)
    if len(wanted) != len(came):
        return False
    times = [message.sent for message in came]
    groups = [(times.index(time), len(times) - times[::-1].index(time)) for time in sorted(set(times))]
    return all(_assign(wanted[start:end], came[start:end], told) for start, end in groups)


def _assign(wanted: Sequence[Raw], came: Sequence[Message], told: Answer) -> bool:
    """Tell whether each wanted one has a message of its own."""
    if not wanted:
        return not came
    return any(
        _matches(wanted[0], message, told) and _assign(wanted[1:], [*came[:place], *came[place + 1 :]], told)
        for place, message in enumerate(came)
    )


def _matches(wanted: Raw, message: Message, told: Answer) -> bool:
    firing = message.firing
    values: dict[str, Any] = {
        "rule": firing.rule["name"],
        "version": firing.rule.get("version", 1),
        "action": message.action,
        "opened_by": firing.opened.event_id,
        "due": message.due,
        "sent": message.sent,
        "channel": message.channel,
        "reason": message.reason,
    }
    for name, value in wanted.items():
        if name == "customer":
            if value not in (told.owners[firing.opened.event_id] or ()):
                return False
        elif name == "key":
            if firing.key != tuple(as_key(one) for one in (value if isinstance(value, list) else [value])):
                return False
        elif name == "payload":
            if any(_store(message.store, path) != one for path, one in value.items() if _known(path)):
                return False
        elif name == "reason" and message.action == "retract":
            continue  # the texts name reasons for holding back only
        elif values[name] != (instant(value) if name in ("due", "sent") else value):
            return False
    return True


def _known(path: str) -> bool:
    """Tell whether the oracle knows a part of a payload: of the nearest shops all but whether they are open."""
    return path.startswith("store.nearest") and not path.endswith(".open")


def _store(store: Raw, path: str) -> Any:
    _, which, *rest = path.split(".")
    return store.get(which, {}).get(rest[0]) if rest else store.get(which)


def _tell(messages: Sequence[Message]) -> list[str]:
    return [
        f"{message.action} {message.firing.identity} due={message.due} sent={message.sent} "
        f"channel={message.channel} reason={message.reason}"
        for message in messages
    ]
