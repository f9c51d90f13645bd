"""Supervise: rows that end, hang or fill a process cost themselves only; see `lead` and, for a command, `guardian`."""
