"""Commands of `tandem` that concern the endpoint; batch/cli/commands.py names them, and imports them when called."""
