"""E-values from a score that is learned on the way: have several columns changed together?"""
