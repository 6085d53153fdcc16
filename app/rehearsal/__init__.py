"""Rehearses a deployment: decides what Kafka has retained again by this build, and compares the outputs."""
