"""Records of the topics `reference.<feed>` -> what is said of an item, and back.

In any of the formats that `documents` reads. One field names the item. A field that is null, or not there, stays as it
was; members that the schema doesn't know are fields as well. `time` says since when it is so, else the record's own
timestamp does. A record without a value says, by its key, that the item is gone.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fastavro import schemaless_writer

from stream_app.domain.numbers import SPEND, SpendError, read_spend
from stream_app.domain.numbers.cells import DAY_MS
from stream_app.domain.places import StoreError, read_store
from stream_app.domain.places.weather import WEATHER, WeatherError, read_weather
from stream_app.domain.reference import SHOPS, STORE, Said
from stream_app.domain.refusal import Reason, Refused
from stream_app.domain.rules.applying import token_of
from stream_app.domain.stock import STOCK, StockError, read_quantities
from stream_app.wire.documents import Documents
from stream_app.wire.known import current
from stream_app.wire.limits import Limits
from stream_app.wire.shape import invalid, missing, properties_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas import ReferenceFeed
    from stream_app.wire.registry import Registry


class ReferenceDecoder:
    """Reads what one feed says, within limits, in any of the formats."""

    def __init__(
        self, feed: ReferenceFeed, registry: Registry | None = None, limits: Limits | None = None
    ) -> None:
        self._feed = feed
        self._limits = limits or Limits()
        self._documents = Documents(feed.subject, registry, self._limits)

    def decode(
        self,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None,
        key: bytes | None,
        timestamp: int,
    ) -> Said:
        """Read a record; `timestamp` is its own, ms.

        Raises:
            Refused: the record can't be taken; the detail names fields, never what is in them.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        if not value:
            return Said(self._feed.kind, self._item(_text(key), "the key"), timestamp, None)
        parts = self._documents.read(value, headers)
        item = self._item(parts.pop(self._feed.named_by, None), self._feed.named_by)
        time = self._time(parts.pop("time", None), timestamp)
        more = parts.pop("properties", None)
        fields = {
            name: found for name, found in properties_of(parts, self._limits).items() if found is not None
        }
        for name, found in properties_of(more, self._limits).items():
            if found is not None and name:
                fields.setdefault(name, found)
        fields.pop("", None)
        if self._feed.kind == STORE:
            _check_store(item, fields)
        elif self._feed.kind == SPEND:
            self._check_spend(fields, timestamp)
        elif self._feed.kind == STOCK:
            fields = {SHOPS: self._quantities(fields.get(SHOPS))}
        elif self._feed.kind == WEATHER:
            fields = _weather(fields)
        return Said(self._feed.kind, item, time, fields)

    def _quantities(self, stores: object) -> dict[str, float]:
        """Return how many each store has; a row without a store says nothing, and is refused."""
        if stores is None:
            missing(SHOPS)
        try:
            quantities = read_quantities(stores, SHOPS, "store id")
        except StockError as error:
            raise Refused(Reason.INVALID_FIELD, str(error)) from None
        if not quantities:
            invalid(SHOPS, "an object: store id to quantity")
        for store in quantities:
            self._item(store, f"a store id in {SHOPS}")
        return quantities

    def _item(self, value: object, field: str) -> str:
        if value is None:
            missing(field)
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            invalid(field, "a text or a number")
        item = token_of(value)
        if not item.strip():
            raise Refused(Reason.MISSING_FIELD, f"{field} is empty")
        if len(item) > self._limits.event_id_chars:
            raise Refused(
                Reason.TOO_LARGE, f"{field} is longer than {self._limits.event_id_chars} characters"
            )
        return item

    def _check_spend(self, fields: dict[str, Any], timestamp: int) -> None:
        """Refuse a row that says no spend: it would be missing from the sums, and nobody would know."""
        try:
            day = read_spend(fields).day * DAY_MS
        except SpendError as error:
            reason = Reason.INVALID_FIELD if error.field in fields else Reason.MISSING_FIELD
            raise Refused(reason, str(error)) from None
        if not self._limits.earliest <= day <= self._limits.latest(timestamp):
            raise Refused(Reason.TIME_OUT_OF_RANGE, "day is too far in the past or the future")

    def _time(self, value: object, timestamp: int) -> int:
        if value is None:
            return timestamp
        if not isinstance(value, int) or isinstance(value, bool):
            invalid("time", "a time in milliseconds")
        if not self._limits.earliest <= value <= self._limits.latest(timestamp):
            raise Refused(Reason.TIME_OUT_OF_RANGE, "time is too far in the past or the future")
        return value


def encode_reference(feed: ReferenceFeed, row: Mapping[str, Any]) -> bytes:
    """Encode what is said of an item in Avro single-object encoding; `time` in ms.

    Raises:
        ValueError: a field is not what the schema says.
    """
    known = current(feed.subject)
    stream = BytesIO()
    stream.write(known.mark)
    schemaless_writer(stream, known.parsed, dict(row), strict=False)
    return stream.getvalue()


def _check_store(item: str, fields: dict[str, Any]) -> None:
    """Refuse a row that is no store: it would be near nobody, and nobody would know why."""
    try:
        read_store({**fields, "id": item})
    except StoreError as error:
        raise Refused(Reason.INVALID_FIELD, str(error)) from None


def _weather(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the weather; one that no rule could go by is refused."""
    try:
        return read_weather(fields)
    except WeatherError as error:
        reason = Reason.INVALID_FIELD if error.field in fields else Reason.MISSING_FIELD
        raise Refused(reason, str(error)) from None


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.INVALID_UTF8, "the key is not UTF-8, and there is no value") from None
