"""The runners of the reference vectors are a package beside the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
