"""Local stand-ins: Kafka, Stripe, a mailbox; a process supervisor; simulated customers and staff."""
