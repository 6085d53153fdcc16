"""Domain types, events, commands, state graphs and money rules that services share. Pure: no I/O, no clock."""
