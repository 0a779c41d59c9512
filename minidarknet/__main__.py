"""`python -m minidarknet` is the command line."""

import sys

from minidarknet.cli import main

if __name__ == "__main__":
    sys.exit(main())
