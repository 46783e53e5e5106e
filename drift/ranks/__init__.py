"""E-values from ranks: has the distribution changed, whatever it was?"""
