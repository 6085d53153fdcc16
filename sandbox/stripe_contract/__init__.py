"""Plays one list of requests against Stripe's test mode and the stand-in, and compares what they answer."""
