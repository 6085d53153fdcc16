"""A mailbox: an SMTP and SMS server that shows what it got."""
