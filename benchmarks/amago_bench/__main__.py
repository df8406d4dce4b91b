"""`python -m amago_bench`: the same as `amago bench`."""

import sys

from amago_bench.cli import main

sys.exit(main())
