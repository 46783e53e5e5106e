"""Which version answers a request: values in, values out, no I/O."""

from serving.policies.base import Choice, Policy, Surroundings, bind
from serving.policies.parsing import parse

__all__ = ["Choice", "Policy", "Surroundings", "bind", "parse"]
