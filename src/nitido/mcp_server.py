"""An MCP server: the verbs as tools for programs that speak the Model Context Protocol.

Only files under named folders are read and written, wherever links lead. A tool answers with the
JSON that the command line prints, and an error is one sentence.

Source: modelcontextprotocol.io, specification 2025-11-25, server/tools; the SDK `mcp`.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any

import anyio.from_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from nitido.delivery_check import check as check_delivery
from nitido.errors import AudioReadError, AudioWriteError, ConfigError, NitidoError, explain, shown
from nitido.version import __version__

NAMED = 20  # files of a folder that an error names
Answer = dict[str, Any]


class Folders:
    """The folders that may be read and written in, and nothing beside them."""

    def __init__(self, folders: Sequence[str | Path]) -> None:
        """Take the folders; a relative file name counts from the first.

        Raises:
            ConfigError: none, or one is no folder.
        """
        self.real = [Path(os.path.realpath(folder)) for folder in folders]
        for given, folder in zip(folders, self.real, strict=True):
            if not folder.is_dir():
                raise ConfigError(f"{str(given)!r} is no folder; name one that is there.")
        if not self.real:
            raise ConfigError("No folder is named; name those that may be used.")

    def inside(self, name: str) -> Path:
        """Return where a name really lies, links followed.

        Raises:
            ConfigError: outside the folders, or it can be no name.
        """
        try:
            path = Path(os.path.realpath(self.real[0] / name))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{shown(name)} can be no file: {error}.") from None
        if not any(path.is_relative_to(folder) for folder in self.real):
            raise ConfigError(
                f"{shown(name)} lies outside the folders that may be used, {self}; the user names "
                "them when starting 'nitido mcp'."
            )
        return path

    def file(self, name: str) -> str:
        """Return the path of a file to read.

        Raises:
            AudioReadError: it is a folder.
            ConfigError: as `inside`.
        """
        path = self.inside(name)
        if path.is_dir():
            raise AudioReadError(f"{path} is a folder; name one of its files: {_audio_in(path)}.")
        return str(path)

    def __str__(self) -> str:
        return ", ".join(map(str, self.real))


def _audio_in(folder: Path) -> str:
    """Return the names of the audio files of a folder and those below, as a sentence has them."""
    from nitido.batch.inputs import find_audio

    try:
        files = [os.path.relpath(file, folder) for file in find_audio([str(folder)])]
    except NitidoError:
        return "it holds no audio"
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(files[:NAMED]) + more


class Tools:
    """The tools; their docstrings are what an agent reads of them."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._turn = Lock()  # one piece at a time: each takes all cores

    def diagnose(self, file: str, context: Context) -> Answer:
        """Say what is wrong with a piece of music; nothing is changed.

        Each finding has a number with its unit, a severity (ok, slight, moderate, severe), a
        sentence, and where it is.

        Args:
            file: path of an audio file.
        """
        from nitido import api

        file = self._folders.file(file)
        with self._turn:
            found = api.diagnose(file, on_progress=_progress(context))
        return {"file": file, **found.to_dict()}

    def plan(
        self,
        file: str,
        context: Context,
        preset: str = "auto",
        stages: list[str] | None = None,
        without: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        output_sample_rate: int = 48_000,
    ) -> Answer:
        """Say what `restore` would do to a piece, and why; nothing is written.

        The plan can be changed and given to `restore`.

        Args:
            file: path of an audio file.
            preset: auto (musicgen or song, by what the file shows), musicgen and song (repairs),
                gentle (a tenth of the change), master (polish for release, -11 LUFS), stems or
                demucs.
            stages: only these may run.
            without: these do not run.
            settings: single settings, such as {"bandwidth.amount": 0.5,
                "loudness.target_lufs": -16} (null keeps the level).
            output_sample_rate: of the result, Hz.
        """
        from nitido import api
        from nitido.restoration.restore_options import RestoreOptions

        file = self._folders.file(file)
        options = RestoreOptions(preset, stages, without or (), settings, output_sample_rate)
        with self._turn:
            about = {"as_loop": options.loop, **options.reading}
            diagnosis = api.diagnose(file, on_progress=_progress(context), **about)
        return {"file": file, "plan": options.plan_for(diagnosis).to_dict()}

    def restore(
        self,
        file: str,
        context: Context,
        output: str | None = None,
        preset: str = "auto",
        stages: list[str] | None = None,
        without: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        output_sample_rate: int = 48_000,
        plan: dict[str, Any] | None = None,
        removed: bool = False,
        report: bool = False,
        stems: bool = False,
        overwrite: bool = False,
    ) -> Answer:
        """Repair a piece of music and write the result; the input is never changed.

        The answer says what was found and done, in `sentences` in plain words. It also stands in a
        sidecar beside the result.

        Args:
            file: path of an audio file.
            output: path of the result, whose suffix names the format; NAME_restored.wav beside the
                input if left out.
            preset: auto (musicgen or song, by what the file shows), musicgen and song (repairs),
                gentle (a tenth of the change), master (polish for release, -11 LUFS), stems or
                demucs.
            stages: only these may run.
            without: these do not run.
            settings: single settings, such as {"bandwidth.amount": 0.5,
                "loudness.target_lufs": -16} (null keeps the level).
            output_sample_rate: of the result, Hz.
            plan: carry out this plan, from `plan`; then no choice from preset on down to here.
            removed: also write what was taken away, to be listened to.
            report: also write a page to listen and look.
            stems: also write drums, bass, other and vocals; needs the extra demucs.
            overwrite: replace a result that is there already.
        """
        from nitido.batch.inputs import make_jobs
        from nitido.batch.job import Job, carry_out
        from nitido.restoration.plan import Plan
        from nitido.restoration.restore_options import RestoreOptions

        options = RestoreOptions(
            preset,
            stages,
            without or (),
            settings,
            output_sample_rate,
            plan=None if plan is None else Plan.from_dict(plan),
            stems=stems,
        )
        how = Job(options=options, removed=removed, report=report, overwrite=overwrite)
        file = self._folders.file(file)
        target = None if output is None else str(self._folders.inside(output))
        (job,) = make_jobs([file], how, output=target)
        for name in (job.output, *job.files.values()):
            self._folders.inside(name)
        with self._turn:
            outcome = carry_out(job, on_progress=_progress(context))
        if outcome.state == "busy":
            raise AudioWriteError(f"Another run is at work on {job.output}; try again later.")
        return outcome.entry(job)

    def compare(
        self,
        before: str,
        after: list[str],
        context: Context,
        reference: str | None = None,
        tables: list[str] | None = None,
    ) -> Answer:
        """Say what is different between versions of a piece, in words and in numbers.

        Args:
            before: path of an audio file.
            after: paths of one or more later versions of it.
            reference: path of how it should sound, where that is known.
            tables: what to measure: content, artefacts, delivery, features, fidelity, perceptual.
        """
        from nitido.comparison import compare

        del context
        before, *others = (self._folders.file(name) for name in (before, *after))
        clean = None if reference is None else self._folders.file(reference)
        with self._turn:
            return compare(before, *others, reference=clean, tables=tables).to_dict()

    def check(self, file: str, context: Context, target: str = "streaming") -> Answer:
        """Say whether a piece is fit for where it goes, and why; nothing is changed.

        Args:
            file: path of an audio file.
            target: streaming, spotify, apple, youtube, amazon, tidal, deezer, podcast, broadcast,
                broadcast-us or game.
        """
        file = self._folders.file(file)
        with self._turn:
            verdict = check_delivery(file, target=target, on_progress=_progress(context))
        return {"file": file, **verdict.to_dict()}


def _progress(context: Context) -> Callable[[float, float], None]:
    """Return what tells the client of progress, per cent by per cent, and stops if it cancels."""
    told = -1

    def on_progress(done: float, total: float) -> None:
        nonlocal told
        anyio.from_thread.check_cancelled()
        per_cent = round(100 * done / total) if total else 100
        if per_cent > told:
            told = per_cent
            anyio.from_thread.run(context.report_progress, float(per_cent), 100.0)

    return on_progress


class _Server(MCPServer):  # type: ignore[misc]
    """The SDK's server, with every error of a tool in one sentence."""

    async def call_tool(self, name: str, arguments: Answer, context: Any = None) -> Any:
        """Call a tool; an argument that it does not have is an error, not passed over."""
        try:
            known = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}
            for given in arguments if name in known else ():
                if given not in known[name]:
                    raise ConfigError(_unknown(given, known[name]))
            return await super().call_tool(name, arguments, context)
        except ConfigError as error:
            return _failure(str(error))
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            first = error.__cause__.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return _failure(f"The argument {where!r} of {name} is wrong: {first['msg']}.")


def _unknown(given: str, known: Any) -> str:
    close = get_close_matches(given, known, 1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}."
    return f"There is no argument {given!r}; {remedy}"


def _failure(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=sentence)], is_error=True)


def _answering(tool: Callable[..., Answer]) -> Callable[..., Any]:
    """Return a tool that answers with JSON without blanks, as an agent reads all; or a sentence."""

    @wraps(tool)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            answer = tool(*arguments, **named)
            text = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except Exception as error:
            return _failure(explain(error))
        content = [TextContent(type="text", text=text)]
        return CallToolResult(content=content, structured_content=answer)

    return call


def make_server(folders: Sequence[str | Path]) -> MCPServer:
    """Return the server, not yet running.

    Args:
        folders: that may be read and written in, with everything below them.

    Raises:
        ConfigError: none, or one is no folder.
    """
    allowed = Folders(folders)
    server = _Server(
        "nitido",
        version=__version__,
        instructions=(
            "nitido finds what the decoder of a music generator did to the sound, repairs that and "
            f"nothing else, and shows the proof. It uses files under {allowed}; a relative name "
            "counts from the first. Diagnose first, then plan or restore, then compare or check. "
            "A name of a folder as `file` says which files there are."
        ),
        log_level="WARNING",
    )
    tools = Tools(allowed)
    for tool in (tools.diagnose, tools.plan, tools.restore, tools.compare, tools.check):
        writes = tool == tools.restore
        server.add_tool(
            _answering(tool),
            description=inspect.getdoc(tool),
            annotations=ToolAnnotations(
                read_only_hint=not writes, destructive_hint=writes, open_world_hint=False
            ),
        )
    return server
