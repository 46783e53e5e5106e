"""Reads the record, runs the tests, alerts, acts."""
