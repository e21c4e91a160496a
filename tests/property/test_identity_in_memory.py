"""The real resolver and components, whatever is thrown at them, against the oracle that computes by brute force."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.policy import IdentityPolicy
from stream_app.runs.identity_cases import read_cases, run_case
from tests.property.examples import examples
from tests.property.identity_oracle import Answer, answer
from tests.property.identity_strategies import arrivals, raw_policies


def expectation(known: Answer) -> dict[str, Any]:
    """Return all that an answer says, as a case expects it."""
    return {
        "customers": [sorted(customer) for customer in known.customers],
        "n_customers": len(known.customers),
        "event_owner": {
            event_id: None if owner is None else min(owner) for event_id, owner in known.owner.items()
        },
    }


@examples(50)
@given(st.data())
def test_every_order_of_arrival_gives_what_the_oracle_says(data: st.DataObject) -> None:
    raw = data.draw(raw_policies())
    policy = IdentityPolicy.from_mapping(raw)
    arrived = data.draw(arrivals(policy))
    case = {"policy": raw, "events": arrived, "expect": expectation(answer(policy, arrived))}
    (read,) = read_cases([json.dumps(case)])
    assert run_case(read, 5, 0).failures == []


@examples(40)
@given(st.data())
def test_where_arrival_counts_the_given_order_gives_what_the_oracle_says(data: st.DataObject) -> None:
    raw = data.draw(raw_policies())
    policy = IdentityPolicy.from_mapping(raw)
    arrived = data.draw(arrivals(policy, erasures=True))
    case = {"policy": raw, "events": arrived, "ordered": True, "expect": expectation(answer(policy, arrived))}
    (read,) = read_cases([json.dumps(case)])
    assert run_case(read, 5, 0).failures == []
