"""`python -m tadicodec`."""

import sys

from tadicodec.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
