"""`python -m sidecar.downloads`: behind `scripts/models`, and the process that fetches."""

import sys

from sidecar.downloads.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
