"""An oracle of triggers: the design's RULES and TRIGGERS read once more, by brute force.

It shares nothing with the code it judges but the conditions. Whenever an event arrives or the clock moves,
everything is folded again from nothing (rules_oracle_fold.py), compared with what has been sent, and what is
due is judged. Where the texts can be read two ways, the case files say which reading this is ("ambiguous").

Not covered: `near`, addresses, erasure, and of payloads all but the nearest shops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.property.rules_oracle_around import Around
from tests.property.rules_oracle_fold import Firing, Folder, Identity, closed, current
from tests.property.rules_oracle_policy import Judge, Send
from tests.property.rules_oracle_reference import changes, said_by, said_first
from tests.property.rules_oracle_texts import Happening, Raw, duration, instant, listed, upto
from tests.property.rules_oracle_zones import quiet_until, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Customer = frozenset[str]
Owners = dict[str, Customer | None]
"""Whose each event is, by event id."""

DEFAULTS = {"grace": "5m", "retract_within": "24h"}


@dataclass(frozen=True)
class Message:
    """What came out: `action` is fire, retract, or held_back with a reason; of a fire, the nearest shops go along."""

    action: str
    firing: Firing
    due: int
    sent: int
    channel: str | None = None
    reason: str | None = None
    store: Raw = field(default_factory=dict, compare=False)


@dataclass
class Account:
    """What became of one trigger id so far.

    Attributes:
        due: the due time that it was decided for.
        send: the send that stands, if any.
        held: the end of the quiet hours that it waits for, if it does.
        reason: why it wasn't sent, if it was decided so.
        late: whether it was found late.
        judged: the time as of which its `if` was judged, where it wasn't the due time: the end of a hold.
    """

    due: int
    send: Send | None = None
    held: int | None = None
    reason: str | None = None
    late: bool = False
    judged: int | None = None


@dataclass
class Answer:
    """Messages in the order they were sent, decisions not to send, and whose the events are at the end."""

    messages: list[Message] = field(default_factory=list)
    held_back: list[Message] = field(default_factory=list)
    owners: Owners = field(default_factory=dict)

    @property
    def net(self) -> list[Message]:
        """Return the fires that no retraction took back, at the end."""
        last = {message.firing.identity: message for message in self.messages}
        return [message for message in last.values() if message.action == "fire"]


def answer(
    rules: Sequence[Raw],
    arrivals: Sequence[Raw],
    until: str,
    policy: Raw | None = None,
    reference: Raw | None = None,
    owners: Callable[[Sequence[Raw]], Owners] | None = None,
) -> Answer:
    """Say what must be sent.

    `arrivals` are a case's `events`: events, commands, changes of reference data and moves of the clock, in
    order of arrival; `reference` is what there was before all of them. `owners`
    says whose the events are, after these arrivals; without it, they are all one customer's.
    """
    end, around = instant(until), Around([*said_first(reference or {})])
    world = _World(current(rules), policy or {}, Folder(policy or {}, around, end), owners or one_customer)
    for arrival in arrivals:
        if "advance_to" in arrival:
            world.advance(instant(arrival["advance_to"]))
        elif "reference_change" in arrival:
            world.refer(arrival)
        else:
            world.arrive(arrival)
    world.advance(end)
    world.answer.owners = world.owners
    return world.answer


def one_customer(arrivals: Sequence[Raw]) -> Owners:
    """Return owners where all events are one customer's."""
    events = [arrival for arrival in arrivals if "event_id" in arrival]
    names = {
        f"{name}:{value}"
        for event in events
        for name, values in event["identifiers"].items()
        for value in listed(values)
    }
    return dict.fromkeys((event["event_id"] for event in events), frozenset(names))


def happening(arrival: Raw) -> Happening:
    """Return an event as the oracle works with it."""
    return Happening(
        arrival["event_id"],
        instant(arrival["time"]),
        arrival["channel"],
        arrival["type"],
        arrival.get("properties") or {},
    )


class _World:
    """The clock, what has arrived, and what has been sent."""

    def __init__(
        self,
        rules: list[Raw],
        policy: Raw,
        folder: Folder,
        owners_of: Callable[[Sequence[Raw]], Owners],
    ) -> None:
        self.rules, self.policy, self.folder, self.owners_of = rules, policy, folder, owners_of
        self.clock: int | None = None
        self.arrivals: list[Raw] = []
        self.owners: Owners = {}
        self.timelines: dict[Customer, list[Happening]] = {}
        self.wanted: dict[Identity, tuple[Customer, Firing]] = {}
        self.accounts: dict[Identity, Account] = {}
        self.answer = Answer()

    def advance(self, to: int) -> None:
        """Move the clock: "the timer fires once the watermark has passed every event up to" its due time."""
        if self.clock is None or to > self.clock:
            while waiting := [(time, identity) for identity, time in self._waiting().items() if time < to]:
                now = min(waiting)[0]
                self._judge_all((identity for time, identity in waiting if time == now), now)
            self.clock = to

    def arrive(self, arrival: Raw) -> None:
        """Take an event or a command in: the clock first, then fold again, then settle what is late."""
        self.advance(instant(arrival["time"]))
        known = {one.get("event_id") for one in self.arrivals}
        if "event_id" in arrival and arrival["event_id"] in known:
            return
        self.arrivals.append(arrival)
        self._catch_up()

    def refer(self, arrival: Raw) -> None:
        """Take in what is said of reference data, as an event is taken in."""
        self.advance(instant(arrival["time"]))
        self.folder.around.said.append(said_by(arrival))
        self._catch_up()

    def _catch_up(self) -> None:
        self._fold_again()
        self._retract()
        self._settle_late()

    def _fold_again(self) -> None:
        self.owners = self.owners_of(self.arrivals)
        self.timelines = {}
        for arrival in self.arrivals:
            owner = self.owners.get(arrival.get("event_id", ""))
            if owner is not None:
                self.timelines.setdefault(owner, []).append(happening(arrival))
        for timeline in self.timelines.values():
            timeline.sort(key=lambda event: event.order)
        changed = changes(self.folder.around.said)
        self.wanted = {
            firing.identity: (customer, firing)
            for customer, timeline in self.timelines.items()
            for rule in self.rules
            for firing in self.folder.fold(rule, timeline, changed)
        }

    def _waiting(self) -> dict[Identity, int]:
        """Return what is still to be judged, and when: its due time, or the end of the quiet hours."""
        found = {}
        for identity, (_, firing) in self.wanted.items():
            account = self.accounts.get(identity)
            if account is None or (
                account.send is None and account.held is None and account.due != firing.due
            ):
                found[identity] = firing.due
            elif account.held is not None:
                found[identity] = account.held
        return found

    def _retract(self) -> None:
        """Take back "a trigger already sent that the new fold no longer justifies", within the rule's time."""
        for identity, account in self.accounts.items():
            if account.held is not None and self._hold_is_void(identity, account):
                account.held, account.due = None, -1
            send = account.send
            if send is None or self._stands(identity, account, send):
                continue
            if self.now - send.sent <= duration(self._setting(send.firing.rule, "retract_within")):
                account.send, account.due, account.late = None, -1, False
                self.answer.messages.append(
                    Message("retract", send.firing, send.firing.due, self.now, send.channel)
                )

    @property
    def now(self) -> int:
        assert self.clock is not None, "an arrival moves the clock"
        return self.clock

    def _hold_is_void(self, identity: Identity, account: Account) -> bool:
        """Tell whether a held send is no longer wanted, or has become due in the future."""
        found = self.wanted.get(identity)
        return found is None or (found[1].due != account.due and found[1].due >= self.now)

    def _stands(self, identity: Identity, account: Account, send: Send) -> bool:
        """Tell whether the fold still justifies a send.

        "If a late event moves a sent trigger's due time into the future, it is retracted and fires again with
        the same id; if the new due time has passed too, it stands". What was held in quiet hours is judged
        again as of the end of the window.
        """
        found = self.wanted.get(identity)
        if found is None:
            return False
        customer, firing = found
        if firing.due != account.due and firing.due > self.now:
            return False
        timeline = self.timelines[customer]
        judged = [self.folder.judged(firing, timeline, time) for time in (firing.due, send.sent)]
        if send.sent <= account.due:
            return judged[0]
        if account.late:
            return judged[0]
        return all(judged) and not closed(firing, timeline, max(send.sent, firing.due))

    def _settle_late(self) -> None:
        """Judge what is found late "by no more than `grace`", "with all that is known now"; else it is past."""
        late = []
        for identity, (customer, firing) in self.wanted.items():
            if firing.due >= self.now or not self._is_news(identity, customer, firing):
                continue
            if not self.folder.judged(firing, self.timelines[customer], firing.due):
                self._hold_back(firing, "condition", self.now)  # "before anything else"
            elif self.now - firing.due > duration(self._setting(firing.rule, "grace")):
                self._hold_back(firing, "past", self.now)
            elif closed(firing, self.timelines[customer], self.now):
                self.accounts[identity] = Account(firing.due, reason="closed")
            else:
                self.accounts[identity] = Account(firing.due, late=True)
                late.append(identity)
        self._judge_all(late, self.now)

    def _is_news(self, identity: Identity, customer: Customer, firing: Firing) -> bool:
        """Tell whether what is overdue has not been decided as it is now."""
        account = self.accounts.get(identity)
        if account is None:
            return True
        if account.send is not None or account.held is not None:
            return False
        if account.due == firing.due and account.reason == "condition":
            as_of = firing.due if account.judged is None else account.judged
            return self.folder.judged(firing, self.timelines[customer], as_of)
        return account.due != firing.due

    def _judge_all(self, identities: Iterable[Identity], now: int) -> None:
        """Judge what wants to be sent at one time: "the larger goes first"."""
        together = sorted(identities, key=self._turn)
        before = self._sends()
        for identity in together:
            customer, firing = self.wanted[identity]
            self._judge(customer, firing, now, before)

    def _turn(self, identity: Identity) -> tuple[Any, ...]:
        """Order what is due together; beyond the priority the texts leave it open."""
        firing = self.wanted[identity][1]
        opened = firing.opened  # of two changes of a time, the one whose event before has the lesser id
        priority, name = -firing.rule.get("priority", 0), firing.rule["name"]
        return (priority, name, opened.time, opened.event_id, firing.number)

    def _judge(self, customer: Customer, firing: Firing, now: int, before: Sequence[Send]) -> None:
        """Judge one: "still justified -> consent -> suppression list -> quiet hours -> caps -> priority"."""
        timeline = self.timelines[customer]
        late = self.accounts.get(firing.identity, Account(firing.due)).late
        if now > firing.due and closed(firing, timeline, now):
            self.accounts[firing.identity] = Account(firing.due, reason="closed")
            return
        if not self.folder.judged(firing, timeline, now):
            self._hold_back(firing, "condition", now)
            if not late:
                self.accounts[firing.identity].judged = now
            return
        judge = Judge(self.policy, customer, upto(timeline, now), firing, now)
        reason = judge.refusal()
        if reason is None:
            end = quiet_until(now, self.policy, zone_of(upto(timeline, now), self.policy))
            if end is not None:
                self._hold_back(firing, "quiet_hours", now)
                self.accounts[firing.identity] = Account(firing.due, held=end, late=late)
                return
            reason = judge.no_room(self._sends_of(customer, self._sends()), self._sends_of(customer, before))
        if reason is not None:
            self._hold_back(firing, reason, now)
            return
        channel = judge.channel(self._sends_of(customer, self._sends()))
        self.accounts[firing.identity] = Account(firing.due, Send(firing, now, channel), late=late)
        store = self.folder.store(firing, timeline, now)
        self.answer.messages.append(Message("fire", firing, firing.due, now, channel, store=store))

    def _hold_back(self, firing: Firing, reason: str, now: int) -> None:
        self.accounts[firing.identity] = Account(firing.due, reason=reason)
        self.answer.held_back.append(Message("held_back", firing, firing.due, now, reason=reason))

    def _sends(self) -> list[Send]:
        """Return the sends that stand: "retracted sends don't count"."""
        return [account.send for account in self.accounts.values() if account.send is not None]

    def _sends_of(self, customer: Customer, sends: Iterable[Send]) -> list[Send]:
        """Return those that count for a customer, "who owns its opening event now"."""
        return [send for send in sends if self.owners.get(send.firing.opened.event_id) == customer]

    @staticmethod
    def _setting(rule: Mapping[str, Any], name: str) -> str:
        setting: str = rule.get(name, DEFAULTS[name])
        return setting
