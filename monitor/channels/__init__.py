"""What a delivery looks like: one file for each kind of receiver."""

from monitor.channels.base import Message
from monitor.channels.forms import FORMATS, render

__all__ = ["FORMATS", "Message", "render"]
