"""What the shop's own systems say while shoppers shop: prices, stock, how far orders have come, what campaigns cost.

And what a weather service says of the cities that it has shops in.

None of it changes what shoppers do, so that a simulation is the same with it and without. Each day has a random stream
of its own, and so has each order, by its id.

- Shops: where they are, and when they are open.
- Prices: some products are on offer for a day, from some hour on; the next morning they cost what they did.
- Stock: what sells, sells; some products sell out, and most of these come in again a day later.
- Shelves: each shop has most of the products; on each day some of a product's shelves get empty, or are filled.
- Orders from afar are paid, picked and shipped; some of the parcels wait in a parcel shop. What is collected in a shop
  is said to be ready by the shop itself, and by the order system with a time a minute before that.
- Campaigns: what is planned of each as it begins; and each morning, what was spent on the day before, by what was
  delivered and clicked. A day later most of that is corrected: clicks of robots, messages that never arrived.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.planned import Planned
from connectors.simulators.campaigns import Campaigns, date_of
from connectors.simulators.catalogue import CURRENCY, TIMEZONE, catalogue
from connectors.simulators.chances import DAY, HOUR, MINUTE, chance
from connectors.simulators.skies import said_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from connectors.simulators.campaigns import Campaign
    from connectors.simulators.catalogue import Product, Store
    from connectors.simulators.simulation import Simulation

OFFERS = 0.08
"""Share of the products that are on offer on a day."""
SELLS_OUT = 0.08
"""Share of the products that sell out on a day."""
COMES_IN = 0.7
"""Share of what is sold out that comes in again on a day."""
SELLS = 0.3
"""Share of the products of which a few are sold on a day."""
ON_A_SHELF = 0.7
"""Share of the products that a shop has at the beginning."""
SHELF_TURNS = 0.1
"""Share of the shelves that get empty or are filled on a day."""
PARCEL_SHOPS = 0.15
"""Share of the parcels that wait in a parcel shop."""
HOURS = "Mo-Su 09:00-19:00"
"""Of the shops, on their own clocks; shoppers go there between eight and six, UTC."""
PRODUCTS, ORDERS, STORES = "reference.products", "reference.orders", "reference.stores"
CAMPAIGNS, SPEND = "reference.campaigns", "reference.spend"
COSTS = {
    "Email Delivered": 4_000,
    "SMS Delivered": 60_000,
    "Push Notification Received": 1_000,
    "Link Clicked": 350_000,
}
"""What each of them costs, in millionths; of clicks, those on advertisements alone."""
BILLED = 6 * HOUR
"""When the day before is billed, of a day."""
CORRECTED = 0.8
"""Share of bills that are corrected."""
SHELVES, WEATHER = "reference.stock", "reference.weather"


def with_backoffice(simulation: Simulation, feeds: Collection[str] | None = None) -> Iterator[Planned]:
    """Yield a simulation's records and what the shop says on these feeds (None: all), in the order of arrival."""
    topics = None if feeds is None else {f"reference.{feed}" for feed in feeds}
    office = Backoffice(simulation)

    def said(time: int) -> Iterator[Planned]:
        return (row for row in office.until(time) if topics is None or row.channel in topics)

    for record in simulation.records():
        yield from said(record.at)
        yield record
        office.follow(record)
    yield from said(simulation.end + 4 * DAY)


class Backoffice:
    """The shop's systems."""

    def __init__(self, simulation: Simulation) -> None:
        """Begin with all products, at the simulation's start."""
        self._seed = simulation.seed
        goods = catalogue(simulation.seed)
        self._products = goods.products
        self._campaigns = Campaigns(simulation.seed)
        self._planned: set[str] = set()
        self._cost: Counter[tuple[str, str, int]] = Counter()
        self._end = simulation.end
        self._day = self._unbilled = simulation.start
        self._queue: list[tuple[int, int, Planned]] = []
        self._said = 0
        random = Random(f"{self._seed}/backoffice")
        self._stock = {
            one.sku: 0 if chance(random, SELLS_OUT) else random.randint(5, 60) for one in self._products
        }
        self._stores = goods.stores
        for store in goods.stores:
            self._say_store(self._day, store)
        for product in self._products:
            self._say_product(self._day, product, stock=self._stock[product.sku], price=product.price)
        random = Random(f"{self._seed}/shelves")
        self._shelves = {
            one.sku: {store.store_id: _filled(random, ON_A_SHELF) for store in goods.stores}
            for one in self._products
        }
        for sku, shelves in self._shelves.items():
            self._say_shelves(self._day, sku, shelves)

    def until(self, time: int) -> Iterator[Planned]:
        """Yield what is said up to a time (ms)."""
        while self._day < self._end and self._day <= time:
            self._plan_day()
        while self._unbilled < self._end and self._unbilled + DAY + BILLED <= time:
            self._bill_day()
        while self._queue and self._queue[0][0] <= time:
            yield heappop(self._queue)[2]

    def follow(self, record: Planned) -> None:
        """Take note of an order, of one that is ready in a shop, and of what costs something."""
        event = record.event
        if event is None or record.note not in {None, "late"}:
            return
        if event.type in COSTS and (event.type != "Link Clicked" or event.channel == "social"):
            what = (event.channel, event.properties["campaign_id"], event.time // DAY)
            self._cost[what] += COSTS[event.type]
        order = event.properties.get("order_id")
        if event.type == "Order Ready for Pickup":
            store = event.properties.get("store_id")
            self._say_order(
                record.at, order, state="ready_for_pickup", store_id=store, time=event.time - MINUTE
            )
        elif event.type == "Order Completed" and event.channel in {"web", "app"}:
            self._send_off(record.at, str(order), in_shop=event.properties.get("delivery") == "store")

    def _plan_day(self) -> None:
        """Plan what happens to prices and stock on the day that begins, and say which campaigns begin."""
        day, random = self._day, Random(f"{self._seed}/backoffice/{self._day}")
        for campaign in self._campaigns.running(day):
            if campaign.campaign_id not in self._planned:
                self._planned.add(campaign.campaign_id)
                self._say_campaign(day, campaign)
        for product in self._products:
            if chance(random, OFFERS):
                begins, cut = day + random.randint(6, 20) * HOUR, random.uniform(0.1, 0.3)
                lower = round(product.price * (1 - cut), 2)
                self._say_product(begins + random.randrange(HOUR), product, price=lower)
                self._say_product(day + DAY + 5 * HOUR, product, price=product.price)
            self._move_stock(product, day + random.randint(6, 21) * HOUR + random.randrange(HOUR), random)
        self._turn_shelves(day, Random(f"{self._seed}/shelves/{day}"))
        for store in self._stores:
            for row in said_on(self._seed, store, day):
                self._say(WEATHER, row["time"], row["station_id"], row)
        self._day += DAY

    def _bill_day(self) -> None:
        """Say what was spent on the first day that isn't billed yet, and plan what is corrected of it."""
        day, at = self._unbilled, self._unbilled + DAY + BILLED
        for channel, campaign, spent_on in sorted(self._cost):
            if spent_on * DAY != day:
                continue
            random = Random(f"{self._seed}/spend/{day}/{channel}/{campaign}")
            amount = round(self._cost.pop((channel, campaign, spent_on)) / 1_000_000, 2)
            bill = {"channel": channel, "campaign_id": campaign, "day": date_of(day).isoformat()}
            self._say_spend(at + random.randrange(HOUR), bill, amount)
            if chance(random, CORRECTED):
                corrected = round(amount * random.uniform(0.9, 0.99), 2)
                self._say_spend(at + DAY + random.randrange(HOUR), bill, corrected)
        self._unbilled += DAY

    def _turn_shelves(self, day: int, random: Random) -> None:
        """Let some shelves get empty, and fill some that are."""
        for sku, shelves in self._shelves.items():
            turned = {
                store: 0 if pieces else _filled(random, 1)
                for store, pieces in shelves.items()
                if chance(random, SHELF_TURNS)
            }
            if turned:
                shelves.update(turned)
                self._say_shelves(day + random.randrange(6 * HOUR, 20 * HOUR), sku, turned)

    def _move_stock(self, product: Product, time: int, random: Random) -> None:
        """Let a product sell, sell out or come in."""
        left = self._stock[product.sku]
        if left == 0:
            left = random.randint(10, 60) if chance(random, COMES_IN) else 0
        elif chance(random, SELLS_OUT):
            left = 0
        elif chance(random, SELLS):
            left = max(1, left - random.randint(1, 3))
        if left != self._stock[product.sku]:
            self._stock[product.sku] = left
            self._say_product(time, product, stock=left)

    def _send_off(self, time: int, order: str, *, in_shop: bool) -> None:
        """Plan how far an order comes."""
        random = Random(f"{self._seed}/backoffice/{order}")
        time += random.randrange(MINUTE, 5 * MINUTE)
        self._say_order(time, order, state="paid")
        time += random.randrange(30 * MINUTE, 4 * HOUR)
        if in_shop:
            return
        self._say_order(time, order, state="picked")
        time += random.randrange(HOUR, 5 * HOUR)
        self._say_order(time, order, state="shipped")
        time += random.randrange(10 * HOUR, 30 * HOUR)
        state = "ready_for_pickup" if chance(random, PARCEL_SHOPS) else "delivered"
        self._say_order(time, order, state=state)

    def _say_product(self, at: int, product: Product, **changed: float) -> None:
        # What doesn't change goes along, but for price and stock: two systems say these, and neither knows the other's.
        row = {"sku": product.sku, "time": at, **_described(product), **changed}
        self._say(PRODUCTS, at, product.sku, row)

    def _say_store(self, at: int, store: Store) -> None:
        position = store.context.position
        if position is not None:
            row = {
                "store_id": store.store_id,
                "time": at,
                "name": store.city,
                "city": store.city,
                "country": "FR",
            }
            where = {"latitude": position.latitude, "longitude": position.longitude}
            self._say(STORES, at, store.store_id, row | where | {"hours": HOURS, "timezone": TIMEZONE})

    def _say_campaign(self, at: int, campaign: Campaign) -> None:
        row = {
            "campaign_id": campaign.campaign_id,
            "time": at,
            "name": campaign.name,
            "channel": campaign.channel,
            "starts": date_of(campaign.first).isoformat(),
            "ends": date_of(campaign.last).isoformat(),
            "budget": float(campaign.budget),
            "currency": CURRENCY,
        }
        self._say(CAMPAIGNS, at, campaign.campaign_id, row)

    def _say_spend(self, at: int, bill: dict[str, str], amount: float) -> None:
        spend_id = "/".join((bill["day"], bill["channel"], bill["campaign_id"], CURRENCY))
        row = {**bill, "spend_id": spend_id, "time": at, "currency": CURRENCY, "amount": amount}
        self._say(SPEND, at, spend_id, row)

    def _say_shelves(self, at: int, sku: str, shelves: dict[str, int]) -> None:
        self._say(SHELVES, at, sku, {"sku": sku, "time": at, "stores": dict(shelves)})

    def _say_order(
        self, at: int, order: Any, *, state: str, store_id: Any = None, time: int | None = None
    ) -> None:
        row = {
            "order_id": str(order),
            "time": at if time is None else time,
            "state": state,
            "store_id": store_id,
        }
        self._say(ORDERS, at, str(order), row)

    def _say(self, feed: str, at: int, key: str, row: dict[str, Any]) -> None:
        planned = Planned(channel=feed, at=at, row=row, key=key.encode())
        self._said += 1
        heappush(self._queue, (at, self._said, planned))


def _filled(random: Random, share: float) -> int:
    """Return the pieces on a shelf that has any with this probability."""
    return random.randint(1, 12) if chance(random, share) else 0


def _described(product: Product) -> dict[str, Any]:
    return {
        "name": product.name,
        "category": product.category,
        "currency": CURRENCY,
        "url": f"https://shop.example/{product.sku}",
    }
