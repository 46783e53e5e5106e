"""Detectors of the river library, without a guarantee: they inform, and act if confirmed."""
