"""One job, from a listing of Parquet files to committed predictions.

A row's journey, one file a step: plan -> read -> encode -> batch -> predict -> write -> commit.
`stores/` is where it reads and writes, `choose/` settles who answers, `cli/` is the command.
`account/` is what parts and jobs say of themselves, `observe/` what a running one lets others see; `watch/` and
`page/` show it.
"""
