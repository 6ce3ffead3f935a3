"""The page in a browser: it shows and asks; everything else is done by `nitido.api`."""
