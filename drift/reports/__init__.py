"""Closed forms for reports: nothing here may act."""
