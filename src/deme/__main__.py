"""``python -m deme`` and ``accelerate launch -m deme``: the same command line as ``deme``."""

from deme.cli import main

if __name__ == "__main__":
    main()
