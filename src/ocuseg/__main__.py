"""`python -m ocuseg` is the command `ocuseg`."""

from ocuseg.cli import main

if __name__ == "__main__":
    main()
