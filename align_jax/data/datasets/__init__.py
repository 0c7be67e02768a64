"""The data sets, one in each folder."""
