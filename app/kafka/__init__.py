"""Sending to Kafka, and reading it outside of the consumer group."""
