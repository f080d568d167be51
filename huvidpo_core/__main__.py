"""`python -m huvidpo_core`."""

import os
import sys

from huvidpo_core.cli import main
from huvidpo_core.runs import COMMANDS, ENVIRONMENT
from huvidpo_core.together import leave

if sys.platform == "linux" and sys.argv[1:] and sys.argv[1] in COMMANDS.values() and ENVIRONMENT.keys() - os.environ:
    os.environ |= ENVIRONMENT | os.environ  # the C library looks at it only when a process begins
    os.execv(sys.executable, sys.orig_argv)
leave(main())
