"""`python -m sidecar.access`: scripts/token."""

import sys

from sidecar.access.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
