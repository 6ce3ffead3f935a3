"""The remedies, one a file; `nitido.restoration.registry` puts them in order."""
