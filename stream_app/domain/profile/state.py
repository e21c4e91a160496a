"""The profile: what the timeline says about a customer, at a glance. Its parts are said in the modules beside it."""

from __future__ import annotations

import msgspec

from stream_app.domain.profile.carts import Cart  # noqa: TC001 - msgspec resolves the fields' types at run time
from stream_app.domain.profile.consent import Answer, Said  # noqa: TC001
from stream_app.domain.profile.loyalty import Loyalty  # noqa: TC001
from stream_app.domain.profile.orders import Orders
from stream_app.domain.profile.preferences import Tally  # noqa: TC001
from stream_app.domain.profile.ratings import Ratings  # noqa: TC001
from stream_app.domain.profile.seen import Device, Seen  # noqa: TC001
from stream_app.domain.profile.service import Service
from stream_app.domain.profile.values import Latest, Place  # noqa: TC001
from stream_app.domain.profile.viewed import Viewed  # noqa: TC001
from stream_app.domain.profile.whereabouts import Whereabouts
from stream_app.domain.profile.wishes import Wish  # noqa: TC001


class Profile(msgspec.Struct, array_like=True, gc=False):
    """A fold of the timeline.

    Attributes:
        events: how many there are.
        first: place of the first one.
        last: place of the last one.
        turn: place of the last one of those that have to be folded in order.
        seen: by channel.
        devices: by identifier.
        active: in which quarters of an hour since the epoch, ascending.
        where: locale, time zone, position.
        viewed: recently viewed items, the latest view last.
        carts: open baskets by cart id.
        wishes: the wish list, in the order of wishing.
        orders: orders, returns and money.
        service: requests and complaints.
        satisfaction: ratings of how the customer was served.
        reviews: ratings of products.
        loyalty: the loyalty programme.
        traits: scalars from Identify and Signed Up; null says that a trait is no longer known.
        consent: by "purpose/channel", with * for all.
        history: answers about consent, the latest last.
        stores: how often in which shop.
        categories: how often at which category.
        sizes: how often which size was ordered.
    """

    events: int = 0
    first: Place | None = None
    last: Place | None = None
    turn: Place | None = None
    seen: dict[str, Seen] = msgspec.field(default_factory=dict)
    devices: dict[str, Device] = msgspec.field(default_factory=dict)
    active: list[int] = msgspec.field(default_factory=list)
    where: Whereabouts = msgspec.field(default_factory=Whereabouts)
    viewed: list[Viewed] = msgspec.field(default_factory=list)
    carts: dict[str, Cart] = msgspec.field(default_factory=dict)
    wishes: list[Wish] = msgspec.field(default_factory=list)
    orders: Orders = msgspec.field(default_factory=Orders)
    service: Service = msgspec.field(default_factory=Service)
    satisfaction: Ratings | None = None
    reviews: Ratings | None = None
    loyalty: Loyalty | None = None
    traits: dict[str, Latest] = msgspec.field(default_factory=dict)
    consent: dict[str, Answer] = msgspec.field(default_factory=dict)
    history: list[Said] = msgspec.field(default_factory=list)
    stores: Tally = msgspec.field(default_factory=dict)
    categories: Tally = msgspec.field(default_factory=dict)
    sizes: Tally = msgspec.field(default_factory=dict)
