"""`python -m serving.replica`."""

import sys

from serving.replica.main import main

sys.exit(main())
