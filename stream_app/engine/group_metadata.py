"""A consumer group's metadata in the bytes that librdkafka expects.

`Producer.send_offsets_to_transaction` wants the metadata object of a librdkafka consumer. Ours is an aiokafka
consumer, so its generation and member id are written in librdkafka's serialised form instead (read from
`rd_kafka_consumer_group_metadata_write` in rdkafka_cgrp.c): ``b"CGMDv2:"``, the generation as little-endian
int32, the group id, NUL, the member id, NUL, and last the group instance id (``0x01``: there is none).
A test compares these bytes with librdkafka's own, and fails first when the format changes.
"""

from __future__ import annotations

import struct

_MAGIC = b"CGMDv2:"
_NO_INSTANCE = b"\x01"


def group_metadata(group_id: str, generation: int, member_id: str) -> bytes:
    """Return the metadata with which a worker that lost its partitions is fenced by the group coordinator."""
    head = _MAGIC + struct.pack("<i", generation)
    return head + group_id.encode() + b"\0" + member_id.encode() + b"\0" + _NO_INSTANCE
