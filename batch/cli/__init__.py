"""The `tandem` command: one file for each group of commands, imported only when called."""
