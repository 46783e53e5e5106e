"""The familiar two-sample tests and distances, for reports and information.

Each compares one current window with one reference window and is valid for that one look. Run on
every new window, or on windows that share rows, the chance that some look rejects grows towards
one; nothing here may act by itself. Alarms that may be looked at for ever come from `drift.means`,
`drift.ranks` and `drift.canary`.
"""
