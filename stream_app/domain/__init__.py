"""Retail, and nothing of Kafka, RocksDB, clocks or chance: identifiers, customers, timelines, profiles, rules."""
