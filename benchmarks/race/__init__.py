"""Detectors side by side: how soon they find a change, and how often they alarm without one."""
