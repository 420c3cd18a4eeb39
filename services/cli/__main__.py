"""`python -m services.cli`: the command line without its console script."""

from services.cli.app import main

main()
