"""Who may ask: the JSON API, Stripe's webhook, tokens, and forwarding to the worker that owns an order."""
