"""Stripe: API, webhooks, effects, and the reconciler of payments under way."""
