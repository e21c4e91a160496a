"""Kafka and RocksDB, and nothing of retail: one epoch is one Kafka transaction.

Read in this order: `transport` (batches in), `epoch` (the protocol), `task` (one input partition),
`store` (its rows), `changelog` (how they come back), `watermark` and `timers` (event time).
"""
