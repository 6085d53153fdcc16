"""HTTP API, pages and webhooks."""
