"""Rows of the record and their late labels, read in the order of their commits."""
