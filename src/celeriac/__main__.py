"""`python -m celeriac` is the same as the command `celeriac`."""

from __future__ import annotations

from celeriac.cli.main import main

if __name__ == "__main__":
    main()
