"""The limits file: TOML text -> checked limits by level, and what is said about it.

``parsing`` reads the text, ``sections`` its tables, ``values`` what stands at a key; ``checks`` compares a
file with a date and with the rule book; ``difference`` compares two files; ``template`` writes one.
"""
