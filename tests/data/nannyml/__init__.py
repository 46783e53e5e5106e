"""NannyML's estimates on data of our making."""
