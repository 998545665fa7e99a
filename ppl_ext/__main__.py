"""``python -m ppl_ext`` and the command ``ppl-ext``."""

import sys

from ppl_ext.commands.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
