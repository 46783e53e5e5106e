"""The program inside a model's process.

It starts in the model's own environment: the standard library, numpy and what the model needs.
Nothing else of serving is imported here.
"""
