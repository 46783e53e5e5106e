"""Null streams on which the promise of every detector is measured."""
