"""The catalogue: every number in one sentence. docs/numbers.md says the same, and a test holds it to this.

`Number`s are sums of what customers add (and spend, of what campaigns cost); they are what is stored and published.
`Ratio`s are worked out of them by whoever shows them, over whatever time and dimensions: see ratios.py.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Unit(StrEnum):
    """What a number is counted in: pieces; millionths of the currency among its dimensions; milliseconds."""

    COUNT = "count"
    MONEY = "money"
    TIME = "time"


class Window(StrEnum):
    """What a number's cells are apart by.

    A day: that of the event that it belongs to. A cohort: the month of the customer's first visit. UTC.
    """

    DAY = "day"
    COHORT = "cohort"


class Number(msgspec.Struct, frozen=True):
    """A sum.

    Attributes:
        name: its name.
        sentence: what it is.
        dimensions: what its cells are apart by, beside the window.
        window: see `Window`.
        unit: see `Unit`.
    """

    name: str
    sentence: str
    dimensions: tuple[str, ...]
    window: Window = Window.DAY
    unit: Unit = Unit.COUNT


class Ratio(msgspec.Struct, frozen=True):
    """A quotient of two sums, exact as a fraction.

    Attributes:
        name: its name.
        sentence: what it is.
        formula: the same in symbols.
        over: names of the numbers above the line, each with its factor.
        under: the same below it.
        by: the dimensions that it is worked out for.
    """

    name: str
    sentence: str
    formula: str
    over: dict[str, int]
    under: dict[str, int]
    by: tuple[str, ...]


NUMBERS = (
    Number(
        "visits",
        "Visits that began: what a customer does on one channel without a break of more than 30 minutes.",
        ("channel", "device"),
    ),
    Number(
        "orders",
        "Orders that were placed and not cancelled, each `order_id` once, on the day and channel of its placing.",
        ("channel", "device"),
    ),
    Number(
        "revenue",
        "What these orders amount to, before refunds: the latest `revenue`, else `total`, that was said of each.",
        ("channel", "device", "currency"),
        unit=Unit.MONEY,
    ),
    Number(
        "refunded",
        "What was refunded for orders, on the day of the order, up to its amount.",
        ("channel", "device", "currency"),
        unit=Unit.MONEY,
    ),
    Number(
        "attributed_revenue",
        "Revenue less refunds, split between the touches of the 30 days before the order as the model says.",
        ("model", "channel", "campaign", "currency"),
        unit=Unit.MONEY,
    ),
    Number(
        "assisted_orders",
        "Orders before which another channel than their own had a touch within 30 days, for each such channel.",
        ("assisting_channel", "channel"),
    ),
    Number(
        "assisted_revenue",
        "Revenue less refunds of the assisted orders, in full for each assisting channel.",
        ("assisting_channel", "channel", "currency"),
        unit=Unit.MONEY,
    ),
    Number(
        "cross_channel_orders",
        "Orders at a till with an online touch in the 30 days before, and orders online with a touch in a store.",
        ("direction",),
    ),
    Number(
        "cross_channel_revenue",
        "Revenue less refunds of the cross-channel orders.",
        ("direction", "currency"),
        unit=Unit.MONEY,
    ),
    Number(
        "purchase_delays",
        "Orders by the time from the first touch of the 30 days before to the order: up to 1h, 1d, 3d, 7d, 14d, 30d.",
        ("channel", "up_to"),
    ),
    Number("purchase_delay_ms", "The sum of these times.", ("channel",), unit=Unit.TIME),
    Number(
        "impressions",
        "Messages that were delivered (e-mail, SMS, push), and promotions that were shown.",
        ("kind", "channel", "campaign"),
    ),
    Number(
        "clicks",
        "Messages that were clicked, each `message_id` once, and clicks on promotions.",
        ("kind", "channel", "campaign"),
    ),
    Number(
        "spend",
        "What was spent on a campaign, as the feed of spend says last.",
        ("channel", "campaign", "currency"),
        unit=Unit.MONEY,
    ),
    Number("triggers_sent", "Triggers that we sent, on the day of sending.", ("rule", "channel")),
    Number(
        "triggers_taken_back",
        "Triggers of these that were taken back (retracted) afterwards.",
        ("rule", "channel"),
    ),
    Number(
        "triggers_returned",
        "Triggers that weren't taken back and within 7 days of which a visit began.",
        ("rule", "channel"),
    ),
    Number(
        "triggers_bought",
        "Triggers that weren't taken back and whose customer's first order within 7 days was not cancelled.",
        ("rule", "channel"),
    ),
    Number(
        "active_customers",
        "Customers with a visit in the month that is so many months after that of their first visit.",
        ("months_since",),
        Window.COHORT,
    ),
    Number(
        "customer_value",
        "Revenue less refunds of a cohort's customers, by the months from their first visit to the order.",
        ("months_since", "currency"),
        Window.COHORT,
        Unit.MONEY,
    ),
    Number("csat_answers", "Ratings from 1 to 5 of how a customer was served.", ("channel",)),
    Number("csat_satisfied", "Ratings of these from 4 up.", ("channel",)),
    Number("nps_answers", "Answers from 0 to 10 to whether the customer would recommend us.", ("channel",)),
    Number("nps_promoters", "Answers of these of 9 and 10.", ("channel",)),
    Number("nps_detractors", "Answers of these from 0 to 6.", ("channel",)),
)
"""All numbers."""

RATIOS = (
    Ratio(
        "conversion",
        "Orders per visit.",
        "orders / visits",
        {"orders": 1},
        {"visits": 1},
        ("channel", "device"),
    ),
    Ratio(
        "roi",
        "What a campaign brought beyond what it cost, per unit of what it cost.",
        "(attributed_revenue - spend) / spend",
        {"attributed_revenue": 1, "spend": -1},
        {"spend": 1},
        ("model", "channel", "campaign", "currency"),
    ),
    Ratio(
        "ctr",
        "Click-through rate: clicks per impression.",
        "clicks / impressions",
        {"clicks": 1},
        {"impressions": 1},
        ("kind", "channel", "campaign"),
    ),
    Ratio(
        "trigger_return_rate",
        "Share of our triggers after which the customer came back within 7 days.",
        "triggers_returned / (triggers_sent - triggers_taken_back)",
        {"triggers_returned": 1},
        {"triggers_sent": 1, "triggers_taken_back": -1},
        ("rule", "channel"),
    ),
    Ratio(
        "trigger_purchase_rate",
        "Share of our triggers after which the customer bought within 7 days.",
        "triggers_bought / (triggers_sent - triggers_taken_back)",
        {"triggers_bought": 1},
        {"triggers_sent": 1, "triggers_taken_back": -1},
        ("rule", "channel"),
    ),
    Ratio(
        "assisted_share",
        "Share of a channel's orders before which the other channel had a touch.",
        "assisted_orders / orders",
        {"assisted_orders": 1},
        {"orders": 1},
        ("assisting_channel", "channel"),
    ),
    Ratio(
        "time_to_purchase",
        "Mean time from first touch to order, in milliseconds.",
        "purchase_delay_ms / purchase_delays",
        {"purchase_delay_ms": 1},
        {"purchase_delays": 1},
        ("channel",),
    ),
    Ratio(
        "csat",
        "Customer satisfaction score: share of ratings of 4 and 5.",
        "csat_satisfied / csat_answers",
        {"csat_satisfied": 1},
        {"csat_answers": 1},
        ("channel",),
    ),
    Ratio(
        "nps",
        "Net promoter score, from -100 to 100: percentage of promoters less that of detractors.",
        "100 * (nps_promoters - nps_detractors) / nps_answers",
        {"nps_promoters": 100, "nps_detractors": -100},
        {"nps_answers": 1},
        ("channel",),
    ),
    Ratio(
        "retention",
        "Share of a cohort's customers who had a visit so many months after the month of their first one.",
        "active_customers / active_customers[months_since = 0]",
        {"active_customers": 1},
        {"active_customers": 1},
        ("cohort", "months_since"),
    ),
    Ratio(
        "lifetime_value",
        "Revenue less refunds per customer of a cohort, up to and including so many months after the first visit's.",
        "sum of customer_value up to months_since / active_customers[months_since = 0]",
        {"customer_value": 1},
        {"active_customers": 1},
        ("cohort", "months_since", "currency"),
    ),
)
"""All ratios."""

BY_NAME = {number.name: number for number in NUMBERS}
