"""Servers of the online comparison: what each of them documents as its way to serve a model with batching."""
