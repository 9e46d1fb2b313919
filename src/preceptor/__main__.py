"""`python -m preceptor` is the `preceptor` command."""

from preceptor.cli.main import main

if __name__ == "__main__":
    main()
