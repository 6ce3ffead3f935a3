"""The workshop: from folders of music to a network of nitido's own, by one command.

Corpus ─► cache ─► batches ─► loop (network, losses, checkpoint) ─► export.
"""
