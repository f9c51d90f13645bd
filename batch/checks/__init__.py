"""Checks: what may stand in a job's way on this machine, seen before a model is loaded."""
