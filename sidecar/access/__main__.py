"""`python -m sidecar.access`: scripts/token."""

import os
import sys

from sidecar.access.command_line import main

if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
