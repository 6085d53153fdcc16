"""The JSON API of orders, payments, kitchens, couriers and Stripe's webhook."""
