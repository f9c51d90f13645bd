"""Does a variant answer as the reference does? `check` goes step by step, `agreement` measures, the rest names it."""
