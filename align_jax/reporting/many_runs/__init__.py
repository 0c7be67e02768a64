"""Tables of many runs: methods by domains, over seeds, with what is missing and what others published.

`runs.collect` reads what runs left on disk, `tasks` says which of them may be averaged, `report` makes the tables and
`documents` writes them.
"""
