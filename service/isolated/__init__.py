"""Isolated mode: each model in a process of its own, which may end and is replaced."""
