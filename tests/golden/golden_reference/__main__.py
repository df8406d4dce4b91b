"""`cd tests/golden && python -m golden_reference`: every case, and a table of what came out."""

import sys
import warnings

from golden_reference import check_all, report

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # cases use defaults that the package advises against
    found = check_all()
    sys.stdout.write("\n".join(report(found)) + "\n")
    sys.exit(any(found.values()))
