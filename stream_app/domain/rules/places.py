"""One fix and one rule that is about being near a store (`near`): it closes what she left, and opens what she came to.

Any event with a position is a fix; one that is less exact than the rule wants is none. Inside is no further away than
the radius. What counts is being inside at one fix and not at the one before: passing by between two fixes is not
entering, and a first fix inside is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.places import distance_m
from stream_app.domain.profile.whereabouts import position_of
from stream_app.domain.rules.applying import Opening, Step, close_instance, counts, open_instance
from stream_app.domain.rules.nearest import row_of
from stream_app.domain.rules.state import Partial, Spot

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream_app.domain.rules.model import Near
    from stream_app.domain.rules.plan import Plan
    from stream_app.domain.rules.surroundings import Surroundings

MAX_INSIDE = 256
"""Stores per rule near which somebody is at once; of more, the nearest."""
_NONE: Collection[str] = ()


def apply_fix(plan: Plan, step: Step) -> None:
    """Close and open instances of one rule, if the event is a fix."""
    near, position = plan.rule.near, position_of(step.event)
    if near is None or position is None:
        return
    accuracy = position.accuracy_m
    if near.accuracy_m is not None and accuracy is not None and accuracy > near.accuracy_m:
        return
    found = _found(near, step, position.latitude, position.longitude)
    before = step.state.inside.get(plan.id, ())
    if not found and not before:
        return
    left = {store: _distance(near, step, store) for store in before if store not in found}
    entered = {store: distance for store, distance in found.items() if store not in before}
    if near.on == "stay":
        _leave(plan, step, left)
    if found:
        step.state.inside[plan.id] = sorted(found)
    else:
        step.state.inside.pop(plan.id, None)
    for store, distance in (left if near.on == "exit" else entered).items():
        if counts(plan, step):
            evidence = [step.event.event_id, store]
            spot = Spot(store, distance)
            opening = Opening(store, [store], {}, Partial([], {}), evidence, spot=spot)
            open_instance(plan, _at(step, store), opening, _NONE)


def _at(step: Step, store: str) -> Step:
    """Return a step whose event says at which store it was."""
    event = msgspec.structs.replace(step.event, properties={**step.event.properties, "store_id": store})
    return Step(step.world, step.state, event, step.profile)


def _found(near: Near, step: Step, latitude: float, longitude: float) -> dict[str, float]:
    """Return the stores near a position that a rule is about, and how far away they are."""
    around = step.world.surroundings.near(latitude, longitude, near.radius_m, step.event.time)
    if near.store is not None:
        return {store: distance for store, distance in around if store == near.store}
    return dict(around[:MAX_INSIDE])


def _distance(near: Near, step: Step, store: str) -> float:
    """Return how far away a store is that has been left: at least the radius, if it isn't known any more."""
    known, position = step.world.surroundings.store(store, step.event.time), position_of(step.event)
    if known is None or position is None:
        return near.radius_m
    return distance_m(position.latitude, position.longitude, known.latitude, known.longitude)


def _leave(plan: Plan, step: Step, left: Collection[str]) -> None:
    """End the stays in stores that she has left; an elapsed one remembers it, for a trigger that is found late."""
    instances = step.state.open.get(plan.id, {})
    for instance in list(instances.values()):
        if instance.group in left and not instance.waiting:
            close_instance(plan, step, instance)
    for found in step.state.elapsed.get(plan.id, ()):
        if found.closed is None and found.instance.group in left and not found.instance.waiting:
            found.closed = step.ref("closed")


def view(surroundings: Surroundings, spot: Spot, time: int) -> dict[str, Any] | None:
    """Return what `store` means at a time (ms): its row, whether it is open, and how far away she was at the fix.

    `open` is absent where nobody knows: a condition that asks for it is false then.
    """
    return row_of(surroundings, spot.store, spot.distance_m, time)
