"""Windows as counts: a few kilobytes that add up over workers, hours and days.

A million rows are tested from their counts alone; the values are not needed again.
"""
