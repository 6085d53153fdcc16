"""Sends mail and SMS, and renders them."""
