"""`python -m ironmesh` is the command line."""

import sys

from ironmesh.cli import main

if __name__ == "__main__":
    sys.exit(main())
