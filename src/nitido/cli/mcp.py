"""`nitido mcp`: the verbs as tools for AI agents."""

from __future__ import annotations

import click

from nitido.cli.options import verbose

EXAMPLES = """\b
Examples:
  nitido mcp ~/Music/takes                      for an agent that starts it itself
  nitido mcp songs/ masters/                    two folders; a relative name counts from the first
\b
In the settings of an agent (Claude, Cursor and others):
  {"mcpServers": {"nitido": {"command": "nitido", "args": ["mcp", "/home/ann/songs"]}}}
"""


@click.command(epilog=EXAMPLES, short_help="Give an AI agent the same verbs as tools.")
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@verbose
def mcp(folders: tuple[str, ...]) -> None:
    """Give an AI agent the tools diagnose, plan, restore, compare and check.

    Speaks the Model Context Protocol on standard input and output, until they are closed. Only
    files under each FOLDER are read and written, wherever links lead, and inputs are never changed.
    Nothing leaves this computer.
    """
    from nitido.optional import load

    load("mcp", need="The server for agents", remedy="pip install 'nitido[mcp]'")
    from nitido.mcp_server import make_server

    make_server(folders).run()
