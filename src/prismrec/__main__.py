"""`python -m prismrec` is the command `prismrec`."""

from prismrec.cli import main

if __name__ == "__main__":
    main()
