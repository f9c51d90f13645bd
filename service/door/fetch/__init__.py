"""Rows that name an address: read below the operator's list, and from nowhere else."""
