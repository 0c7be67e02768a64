"""Tables of many runs: methods by domains, over seeds, with what is missing and what others published.

`collect` reads what runs left on disk, `tasks` says which of them may be averaged, `report` makes the tables as data,
`report_files` writes them.
"""
