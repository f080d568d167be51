"""`python -m huvidpo_core`."""

import sys

from huvidpo_core.cli import main

sys.exit(main())
