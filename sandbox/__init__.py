"""What a laptop lacks: Kafka, a stand-in for Stripe, and a supervisor for the workers."""
