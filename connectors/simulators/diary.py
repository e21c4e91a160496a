"""What a shopper does, act by act, before anything goes wrong on the way to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from connectors.simulators.identifiers import Identifier  # noqa: TC001 - msgspec reads field types
from connectors.simulators.people import Cart, Shopper  # noqa: TC001 - msgspec reads field types
from stream_app.domain.event import Context  # noqa: TC001 - msgspec reads field types

if TYPE_CHECKING:
    from random import Random


class Act(msgspec.Struct):
    """One thing done; `time` in ms, as a right clock has it; `key` is the Kafka key of who reports it."""

    event_id: str
    time: int
    channel: str
    type: str
    identifiers: tuple[Identifier, ...]
    properties: dict[str, Any]
    key: str
    shopper: str
    context: Context | None


class Diary:
    """Collects one shopper's acts. Event ids come from her own random stream, unless another is given."""

    def __init__(self, shopper: Shopper, random: Random | None = None) -> None:
        """Open an empty diary."""
        self.shopper = shopper
        self.random = shopper.random if random is None else random
        self.acts: list[Act] = []

    def note(
        self,
        time: int,
        channel: str,
        type_: str,
        identifiers: tuple[Identifier, ...],
        properties: dict[str, Any],
        *,
        key: str | None = None,
        context: Context | None = None,
    ) -> Act:
        """Write one act down; the key is the first identifier's value, the context her own, unless given."""
        shopper = self.shopper
        act = Act(
            f"{self.random.getrandbits(96):024x}",
            time,
            channel,
            type_,
            identifiers,
            properties,
            identifiers[0].value if key is None else key,
            shopper.name,
            shopper.context if context is None else context,
        )
        self.acts.append(act)
        return act

    def note_beside(self, act: Act, time: int, type_: str, properties: dict[str, Any]) -> Act:
        """Write down what happens in the same place as another act, and with the same identifiers."""
        return self.note(
            time, act.channel, type_, act.identifiers, properties, key=act.key, context=act.context
        )

    def apart(self, random: Random) -> Diary:
        """Return a diary with the same pages whose event ids come from another random stream."""
        other = Diary(self.shopper, random)
        other.acts = self.acts
        return other

    def order(self, cart: Cart, prefix: str) -> dict[str, Any]:
        """Return the properties of an order of what lies in the basket, without the basket's own id."""
        total = sum(product.price * quantity for product, quantity in cart.lines.items())
        return {
            "order_id": f"{prefix}-{self.random.getrandbits(48):012x}",
            "total": round(total, 2),
            "revenue": round(total, 2),
            "currency": "EUR",
            "products": [product.line(quantity) for product, quantity in cart.lines.items()],
        }
