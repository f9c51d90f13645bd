"""Jobs over HTTP: a `JobSpec` is taken in, kept, and run as `tandem run` in a process of its own.

A job's way: `handlers` reads the request, `check_spec` and `places` judge it, `plan` has it tried, `book` keeps it,
`keeper` has its turn at running it, `launch` makes its process humble, `account` reads what it says, `outcome` decides
what its end means.
"""
