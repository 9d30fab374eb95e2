"""`python -m facegen`."""

from facegen.cli.main import main

main()
