"""The sections of RESULTS.md: each is one module with `TITLE` and `measure(rounds, quick, say) -> Result`."""
