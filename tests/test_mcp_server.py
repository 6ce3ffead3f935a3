"""The tools for agents, through the SDK's own client, over stdio."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner

from nitido.cli import main
from nitido.demo.comb import add_comb
from nitido.demo.render import render

pytest.importorskip("mcp")
from anyio import CancelScope
from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters, stdio_client

RATE = 32_000
START = "from nitido.cli import main; main()"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for the agent, `songs`, with a piece in it; another piece beside the folder."""
    place = tmp_path_factory.mktemp("mcp").resolve()
    (place / "songs").mkdir()
    wav = add_comb(render(seconds=4, sample_rate=RATE)[:1] * 0.3, sample_rate=RATE)
    for name in ("songs/take.wav", "secret.wav"):
        sf.write(place / name, wav.T, RATE, "PCM_24")
    return place


@pytest.fixture(scope="module")
def agent(place):
    """Return what calls a tool as an agent does, and its list of tools."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", START, "mcp", str(place / "songs")],
        env=dict(os.environ),
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(stdio_client(server))) as client,
    ):

        class Agent:
            run = portal.call
            session = client
            tools = portal.call(client.list_tools).tools
            instructions = client.instructions

            @staticmethod
            def call(tool, *, on_progress=None, **arguments):
                call = partial(client.call_tool, progress_callback=on_progress)
                return portal.call(call, tool, arguments)

            @staticmethod
            def answer(tool, **arguments):
                result = Agent.call(tool, **arguments)
                (text,) = result.content
                assert not result.is_error, text.text
                assert json.loads(text.text) == result.structured_content
                return result.structured_content

            @staticmethod
            def error(tool, **arguments):
                result = Agent.call(tool, **arguments)
                (text,) = result.content
                assert result.is_error, text.text
                assert "\n" not in text.text
                return text.text

        yield Agent


def printed(*arguments):
    """What the command line prints with --json."""
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code in (0, 3), done.stderr
    return json.loads(done.stdout)


def test_the_tools_are_the_verbs_and_each_explains_itself(agent, place) -> None:
    tools = {tool.name: tool for tool in agent.tools}
    assert set(tools) == {"diagnose", "plan", "restore", "compare", "check"}
    assert all(tool.description and tool.input_schema["required"] for tool in agent.tools)
    assert {name for name, tool in tools.items() if not tool.annotations.read_only_hint} == {
        "restore"
    }
    assert "context" not in {key for tool in agent.tools for key in tool.input_schema["properties"]}
    assert str(place / "songs") in agent.instructions


def test_answers_are_what_the_command_line_prints(agent, place) -> None:
    file = place / "songs" / "take.wav"
    assert agent.answer("diagnose", file="take.wav") == printed("diagnose", file)
    assert agent.answer("check", file=str(file), target="spotify") == printed(
        "check", file, "--for", "spotify"
    )
    assert agent.answer(
        "plan", file="take.wav", preset="gentle", settings={"loudness.target_lufs": None}
    ) == printed("restore", file, "--dry-run", "--preset", "gentle", "--loudness", "off")


def test_a_restoration_is_that_of_the_command_line_and_can_be_compared(agent, place) -> None:
    songs = place / "songs"
    plan = agent.answer("plan", file="take.wav", without=["loudness"])["plan"]
    mine = agent.answer("restore", file="take.wav", output="mine.wav", plan=plan, removed=True)
    (songs / "plan.json").write_text(json.dumps(plan), "utf-8")
    theirs = printed(
        *("restore", songs / "take.wav", "-o", songs / "theirs.wav", "--removed"),
        *("--plan", songs / "plan.json"),
    )
    assert (songs / "mine.wav").read_bytes() == (songs / "theirs.wav").read_bytes()
    assert Path(mine["removed"]).is_file()
    for key in set(mine) - {"output", "removed", "wall_seconds", "result"}:
        assert mine[key] == theirs[key], key
    assert set(mine) == set(theirs)
    found = agent.answer("compare", before="take.wav", after=["mine.wav"], tables=["delivery"])
    assert found == printed(
        "compare", songs / "take.wav", songs / "mine.wav", "--table", "delivery"
    )
    again = agent.error("restore", file="take.wav", output="mine.wav")
    assert "exists already" in again
    assert agent.answer("restore", file="take.wav", output="mine.wav", overwrite=True)


@pytest.mark.parametrize(
    "name", ["../secret.wav", "{place}/secret.wav", "link.wav", "way/secret.wav"]
)
def test_nothing_outside_the_folders_is_read(agent, place, name) -> None:
    songs = place / "songs"
    for link, target in (("link.wav", place / "secret.wav"), ("way", place)):
        if not (songs / link).is_symlink():
            (songs / link).symlink_to(target)
    name = name.format(place=place)
    for tool, arguments in (
        ("diagnose", {"file": name}),
        ("plan", {"file": name}),
        ("restore", {"file": name, "output": "stolen.wav"}),
        ("check", {"file": name}),
        ("compare", {"before": "take.wav", "after": [name]}),
        ("compare", {"before": "take.wav", "after": ["take.wav"], "reference": name}),
    ):
        assert "outside the folders" in agent.error(tool, **arguments)
    assert not (songs / "stolen.wav").exists()


@pytest.mark.parametrize("output", ["../out.wav", "{place}/out.wav", "way/out.wav", "out.wav"])
def test_nothing_outside_the_folders_is_written(agent, place, output) -> None:
    songs = place / "songs"
    if not (songs / "way").is_symlink():
        (songs / "way").symlink_to(place)
    if not (songs / "out.wav").is_symlink():
        (songs / "out.wav").symlink_to(place / "out.wav")
    output = output.format(place=place)
    said = agent.error("restore", file="take.wav", output=output, overwrite=True)
    assert "outside the folders" in said
    assert sorted(path.name for path in place.iterdir()) == ["secret.wav", "songs"]


def test_a_link_where_stems_would_go_is_no_way_out(agent, place, tmp_path) -> None:
    (place / "songs" / "linked.stems").symlink_to(tmp_path)
    said = agent.error("restore", file="take.wav", output="linked.wav", stems=True)
    assert "outside the folders" in said
    assert list(tmp_path.iterdir()) == []


def test_errors_are_a_sentence_that_helps(agent) -> None:
    assert "take.wav" in agent.error("diagnose", file=".")
    assert "does not exist" in agent.error("diagnose", file="nothing.wav")
    assert "did you mean 'preset'" in agent.error("plan", file="take.wav", presett="gentle")
    assert "musicgen" in agent.error("plan", file="take.wav", preset="musicgenn")
    assert "'file'" in agent.error("diagnose")
    assert "can be no file" in agent.error("diagnose", file="a\0b")
    over = agent.error("restore", file="take.wav", output="take.wav", overwrite=True)
    assert "never writes to an input" in over


def test_progress_goes_to_its_end(agent) -> None:
    heard = []

    async def hear(progress, total, message) -> None:
        heard.append(progress / total)

    agent.call("diagnose", file="take.wav", on_progress=hear)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_what_an_agent_cancels_leaves_nothing(agent, place) -> None:
    songs = place / "songs"
    before = sorted(songs.iterdir())

    async def cancelled() -> None:
        with CancelScope() as scope:

            async def hear(progress, total, message) -> None:
                scope.cancel()

            arguments = {"file": "take.wav", "output": "cancelled.wav"}
            await agent.session.call_tool("restore", arguments, progress_callback=hear)

    agent.run(cancelled)
    agent.answer("diagnose", file="take.wav")  # has its turn when the other has ended
    assert sorted(songs.iterdir()) == before


def test_a_folder_that_is_not_there_is_said_before_anything(tmp_path) -> None:
    done = CliRunner().invoke(main, ["mcp", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "is no folder" in done.stderr
