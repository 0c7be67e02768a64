"""The data sets, one in each folder. `data/load.py` lists them: a new one is a folder here and a line there."""
