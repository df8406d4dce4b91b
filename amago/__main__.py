"""`python -m amago`: the same as the `amago` command."""

import sys

from amago.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
