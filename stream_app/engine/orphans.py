"""Ends the open transactions of workers that are gone, so that nobody waits for them (see `roster`).

Rules:
- Only one that is open is ended: a worker that is just starting again has opened its id by itself, and to open it once
  more would fence it.
- In threads of its own. Those that restore wait for the very transactions that are ended here.
- A broker that does not do it is asked again. If it never does, `transaction.timeout.ms` ends them.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import stamina
import structlog
from confluent_kafka import KafkaException, Producer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TransactionalIdNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = structlog.get_logger(__name__)

_ATTEMPTS = 5
_TIMEOUT_S = 10.0
_ONGOING = "Ongoing"


def end_in_background(client: Mapping[str, Any], transactional_ids: Iterable[str]) -> None:
    """End these transactions; returns at once."""
    for transactional_id in transactional_ids:
        threading.Thread(target=_end, args=(client, transactional_id), name="orphans", daemon=True).start()


def _end(client: Mapping[str, Any], transactional_id: str) -> None:
    try:
        if end_if_open(client, transactional_id):
            log.info("transaction_ended", of=transactional_id)
    except (KafkaException, KafkaError) as error:
        log.warning("transaction_not_ended", of=transactional_id, error=type(error).__name__)


@stamina.retry(on=(KafkaException, KafkaError), attempts=_ATTEMPTS, wait_initial=0.1)
def end_if_open(client: Mapping[str, Any], transactional_id: str) -> bool:
    """End a transaction, if it is open; return whether it was.

    Raises:
        KafkaException: the broker did not end it, several times.
        KafkaError: the broker did not say whether it is open, several times.
    """
    servers = client["bootstrap.servers"].split(",")
    with closing(KafkaAdminClient(bootstrap_servers=servers, client_id="raccord-orphans")) as admin:
        try:
            found = admin.describe_transactions([transactional_id])
        except TransactionalIdNotFoundError:
            return False
    if found[transactional_id].state.value != _ONGOING:
        return False
    producer = Producer(
        {
            **client,
            "partitioner": "murmur2_random",  # it sends nothing; every producer here is of one kind
            "enable.idempotence": True,
            "transactional.id": transactional_id,
        }
    )
    try:
        producer.init_transactions(_TIMEOUT_S)
    finally:
        producer.close()
    return True
