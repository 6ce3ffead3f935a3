"""The command line: parse, call the lab, print. Nothing is computed here."""

from nitido_lab.cli.app import main

__all__ = ["main"]
