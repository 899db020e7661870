"""``python -m ctr``."""

import sys

from ctr.main import main

sys.exit(main())
