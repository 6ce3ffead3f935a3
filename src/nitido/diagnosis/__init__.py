"""What is wrong with a piece: one file per artefact, each gives a `Finding`."""
