"""`nitido serve`: the page for a browser."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from nitido.cli.options import verbose

EXAMPLES = """\b
Examples:
  nitido serve                                  http://127.0.0.1:7860, for this computer alone
  nitido serve --open                           and shows it in your browser
  nitido serve --port 8000
  nitido serve --host 0.0.0.0 --auth ann:secret  for others in the house, who know the password
"""


def _auth(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[str, str] | None:
    if value is None:
        return None
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise click.BadParameter("it has the form USER:PASSWORD, neither of them empty.")
    return user, password


@click.command(epilog=EXAMPLES)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option(
    "--auth",
    metavar="USER:PASSWORD",
    envvar="NITIDO_AUTH",
    callback=_auth,
    help="Ask for it.  [also: NITIDO_AUTH, which other users of this computer cannot see]",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="What this server is called, if not by its address; as often as it has names.",
)
@click.option(
    "--max-megabytes",
    type=click.FloatRange(1.0, 10_000.0),
    default=200.0,
    show_default=True,
    help="Of one file.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(0.1, 600.0),
    default=15.0,
    show_default=True,
    help="Length of one piece.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Restorations that run at the same time; others wait.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where visitors' files lie; with it they are there again after a restart.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="A MusicGen checkpoint on this computer to generate from; as often as there are.",
)
@click.option("--open", "opens", is_flag=True, help="Show the page in your browser.")
@verbose
def serve(
    host: str,
    port: int,
    auth: tuple[str, str] | None,
    names: tuple[str, ...],
    max_megabytes: float,
    max_minutes: float,
    at_once: int,
    folder: Path | None,
    models: tuple[str, ...],
    opens: bool,
) -> None:
    """Serve a page to restore, generate and compare in a browser.

    It listens on this computer alone unless --host says otherwise. Nothing is sent to anybody else;
    what visitors upload is deleted an hour after they have left. Ctrl-C ends it.
    """
    from nitido.optional import load

    load("fastapi", need="The page", remedy="pip install 'nitido[web]'")
    from nitido.web.limits import Limits
    from nitido.web.server import serve as run

    if auth is None and not _is_local(host):
        click.secho(
            f"Warning: whoever reaches {host} can use this page; --auth USER:PASSWORD asks first.",
            fg="yellow",
            err=True,
        )
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"
    click.echo(f"nitido is at {address}", err=True)
    limits = Limits(megabytes=max_megabytes, minutes=max_minutes, at_once=at_once)
    run(
        host=host,
        port=port,
        auth=auth,
        limits=limits,
        names=names,
        folder=folder,
        models=models,
        open_at=address if opens else "",
    )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
