"""Run the `preceptor` command as `python -m preceptor`."""

from __future__ import annotations

from preceptor.cli.main import main

if __name__ == "__main__":
    main()
