"""`python -m inr`: the command line, where its script is not on the path."""

from inr.cli.main import main

main()
