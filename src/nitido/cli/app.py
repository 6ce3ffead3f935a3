"""The command `nitido`: its sub-commands, and what becomes of an error.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done, but the sound is not as it should be (`check`,
`restore --strict`), 130 stopped with Ctrl-C. An error is one line.
"""

from __future__ import annotations

import codecs
import os
import sys
import traceback
from typing import Any

import click

from nitido import c_stderr
from nitido.cli.check import check
from nitido.cli.compare import compare
from nitido.cli.demo import demo
from nitido.cli.diagnose import diagnose
from nitido.cli.doctor import doctor
from nitido.cli.generate import generate
from nitido.cli.mcp import mcp
from nitido.cli.presets import presets
from nitido.cli.printing import as_flags
from nitido.cli.restore import restore
from nitido.cli.serve import serve
from nitido.cli.stages import stages
from nitido.errors import ConfigError, NitidoError, explain, one_line
from nitido.version import __version__

# A console or a pipe of Windows may know but 256 signs, few of these among them.
PLAIN_SIGNS = {"−": "-", "–": "-", "→": "->", "…": "...", "·": "-", "×": "x", "≤": "<="}


class Failure(click.ClickException):
    """An error that ends the command, shown in one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(one_line(as_flags(" ".join(message.split()))))
        setattr(self, "exit_code", status)  # noqa: B010  declared for the class by click


class App(click.Group):
    """A group of commands whose errors are one line each."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; in a process of its own, only our words stand on stderr.

        There numpy starts no threads for large matrices, unless told to: we have none, and they
        take as much processor time as all else that it loads.
        """
        if options.get("standalone_mode", True) and sys.stderr is sys.__stderr__:
            c_stderr.mute()
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command; turn every exception into a `Failure`."""
        codecs.register_error("nitido", _in_plain_signs)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="nitido")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Failure("stopped; nothing half-written is left.", 130) from None
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise
            path = error.ctx.command_path if error.ctx else ctx.command_path
            said = error.format_message()
            dot = "" if said.endswith((".", "?", "?)")) else "."
            raise Failure(f"{said}{dot} See '{path} --help'.", 2) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # nobody reads on: click ends without a word
        except Exception as error:
            if ctx.ensure_object(dict).get("verbose"):
                traceback.print_exc()
            raise _failure(error) from None


def _in_plain_signs(error: UnicodeError) -> tuple[str, int]:
    """Return what means the same to who reads through an encoding that has no − and no →."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN_SIGNS.get(sign, "?") for sign in text), error.end


def _failure(error: Exception) -> Failure:
    if isinstance(error, NitidoError):
        return Failure(str(error), 2 if isinstance(error, ConfigError) else 1)
    return Failure(f"{explain(error)} (-v shows where)", 1)


EXAMPLES = """\b
Examples:
  nitido demo                          hear and see it on a piece of its own
  nitido diagnose song.wav             what is wrong with it
  nitido restore song.wav              repair it: song_restored.wav
  nitido restore songs/ -o done/       a whole folder
  nitido compare song.wav song_restored.wav
  nitido check song_restored.wav --for spotify       is it fit to be delivered
  nitido COMMAND --help                more of each
"""


@click.group(cls=App, epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="nitido")
def main() -> None:
    """Make AI-generated music sound finished.

    nitido finds what a generator's decoder did to the sound, repairs that and nothing else, and
    shows the proof. Nothing leaves this computer.
    """


for command in (
    check,
    compare,
    demo,
    diagnose,
    doctor,
    generate,
    mcp,
    presets,
    restore,
    serve,
    stages,
):
    main.add_command(command)
