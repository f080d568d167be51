"""`python -m huvidpo_core`."""

from huvidpo_core.cli import main
from huvidpo_core.together import leave

leave(main())
