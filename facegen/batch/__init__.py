"""`facegen upres` over many files: which there are, what is done already, each raised and written."""
