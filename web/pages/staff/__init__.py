"""Pages of kitchens and couriers, and the login."""
