"""The same tests over past rows."""
