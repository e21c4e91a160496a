"""A few figures of each number, small enough to work out by hand what they come to.

Two days of web, app and store; two campaigns; one cohort of October and one of November; euros, and some yen.
"""

from __future__ import annotations

from stream_app.domain.numbers import MODELS, Cell
from stream_app.wire import day_from, month_from

FIRST, SECOND = day_from("2026-11-28"), day_from("2026-11-29")
OCTOBER, NOVEMBER = month_from("2026-10"), month_from("2026-11")
EURO = 1_000_000
HOUR, DAY = 3_600_000, 86_400_000

CREDITED = {
    "last_touch": (0, 0, 300),
    "first_touch": (200, 100, 0),
    "linear": (100, 50, 150),
    "position_based": (120, 60, 120),
    "time_decay": (80, 40, 180),
}
"""Of 300 euros: what email/autumn, social/spring and store without a campaign have."""

CELLS = {
    # 10 visits on the web and 5 orders; 20 in the app and 1; 4 in the store and 3.
    Cell("visits", FIRST, ("web", "phone")): 4,
    Cell("visits", SECOND, ("web", "phone")): 2,
    Cell("visits", SECOND, ("web", "desktop")): 4,
    Cell("visits", SECOND, ("app", "phone")): 20,
    Cell("visits", SECOND, ("store", "")): 4,
    Cell("orders", FIRST, ("web", "phone")): 1,
    Cell("orders", SECOND, ("web", "desktop")): 4,
    Cell("orders", SECOND, ("app", "phone")): 1,
    Cell("orders", SECOND, ("store", "")): 3,
    Cell("revenue", FIRST, ("web", "phone", "EUR")): 50 * EURO,
    Cell("revenue", SECOND, ("web", "desktop", "EUR")): 150 * EURO,
    Cell("revenue", SECOND, ("store", "", "EUR")): 120 * EURO,
    Cell("revenue", SECOND, ("app", "phone", "JPY")): 5000 * EURO,
    Cell("refunded", SECOND, ("store", "", "EUR")): 20 * EURO,
    Cell("purchase_delays", SECOND, ("web", "1h")): 3,
    Cell("purchase_delays", SECOND, ("web", "3d")): 2,
    Cell("purchase_delay_ms", SECOND, ("web",)): 2 * DAY + 2 * HOUR,
    Cell("assisted_orders", SECOND, ("web", "store")): 2,
    Cell("assisted_orders", SECOND, ("store", "web")): 1,
    Cell("assisted_revenue", SECOND, ("web", "store", "EUR")): 80 * EURO,
    Cell("assisted_revenue", SECOND, ("store", "web", "EUR")): 30 * EURO,
    Cell("cross_channel_orders", SECOND, ("online_before_store",)): 2,
    Cell("cross_channel_orders", SECOND, ("store_before_online",)): 1,
    Cell("cross_channel_revenue", SECOND, ("online_before_store", "EUR")): 80 * EURO,
    Cell("cross_channel_revenue", SECOND, ("store_before_online", "EUR")): 30 * EURO,
    Cell("impressions", FIRST, ("message", "email", "autumn")): 100,
    Cell("impressions", SECOND, ("message", "email", "autumn")): 60,
    Cell("impressions", SECOND, ("promotion", "web", "spring")): 50,
    Cell("clicks", SECOND, ("message", "email", "autumn")): 20,
    Cell("clicks", SECOND, ("promotion", "web", "spring")): 1,
    Cell("spend", FIRST, ("email", "autumn", "EUR")): 50 * EURO,
    Cell("spend", SECOND, ("social", "spring", "EUR")): 80 * EURO,
    **{
        Cell("attributed_revenue", SECOND, (model, channel, campaign, "EUR")): euros * EURO
        for model in MODELS
        for (channel, campaign), euros in zip(
            (("email", "autumn"), ("social", "spring"), ("store", "")), CREDITED[model], strict=True
        )
        if euros
    },
    **{Cell("attributed_revenue", SECOND, (model, "app", "", "JPY")): 5000 * EURO for model in MODELS},
    Cell("triggers_sent", FIRST, ("abandoned_cart", "email")): 9,
    Cell("triggers_sent", SECOND, ("win_back", "sms")): 2,
    Cell("triggers_taken_back", FIRST, ("abandoned_cart", "email")): 1,
    Cell("triggers_returned", FIRST, ("abandoned_cart", "email")): 4,
    Cell("triggers_bought", FIRST, ("abandoned_cart", "email")): 3,
    Cell("active_customers", OCTOBER, ("0",)): 8,
    Cell("active_customers", OCTOBER, ("1",)): 6,
    Cell("active_customers", NOVEMBER, ("0",)): 5,
    Cell("customer_value", OCTOBER, ("0", "EUR")): 100 * EURO,
    Cell("customer_value", OCTOBER, ("1", "EUR")): 60 * EURO,
    Cell("customer_value", NOVEMBER, ("0", "EUR")): 140 * EURO,
    Cell("customer_value", NOVEMBER, ("0", "JPY")): 5000 * EURO,
    Cell("csat_answers", SECOND, ("call_center",)): 7,
    Cell("csat_satisfied", SECOND, ("call_center",)): 5,
    Cell("nps_answers", SECOND, ("sms",)): 8,
    Cell("nps_promoters", SECOND, ("sms",)): 3,
    Cell("nps_detractors", SECOND, ("sms",)): 4,
}
