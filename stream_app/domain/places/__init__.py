"""Stores and places: where stores are, and when they are open. Read store.py first."""

from stream_app.domain.places.known import Places
from stream_app.domain.places.nearby import StoreIndex, distance_m
from stream_app.domain.places.opening import is_open, next_change
from stream_app.domain.places.store import Store, StoreError, read_store, zone_name

__all__ = [
    "Places",
    "Store",
    "StoreError",
    "StoreIndex",
    "distance_m",
    "is_open",
    "next_change",
    "read_store",
    "zone_name",
]
