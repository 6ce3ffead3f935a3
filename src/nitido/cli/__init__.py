"""The command line: parse, call `nitido.api`, print. Nothing is computed here."""

from nitido.cli.app import main

__all__ = ["main"]
