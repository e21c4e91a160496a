"""A real, one-node Apache Kafka for demos and tests, started from Python: see `broker.EmbeddedKafka`."""
