"""How it is wired: settings, Stripe, effects, reconciler, and the factory that joins them."""
