"""Compares the accounts of Stripe and Kafka."""
