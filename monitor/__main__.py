"""Entry of `python -m monitor`."""

from monitor.app import main

main()
