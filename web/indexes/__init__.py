"""Indexes in memory over the tables, which lists are read from."""
