"""The door: who may come in, with what, and how much of it."""
