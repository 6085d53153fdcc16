"""What is true: money, ids, messages, state graphs, decide and evolve. Pure: no I/O, no clock, no Faust."""
