"""Performance before the labels are there: estimates, for information only.

Each rests on something that live data may break without a sign: CBPE on scores that stay
calibrated, DLE on losses that follow the inputs as they did. When what the inputs say about
the label changes (concept drift) they go on saying that all is well. They may never set off a
remedy.
"""
