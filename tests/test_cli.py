import csv
import errno
import json
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result

import nitido
from nitido.cli import main
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of music as a neural decoder might leave them, 32 kHz mono, as a WAV file."""
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    sf.write(path, add_artifacts(render(seconds=6.0)[:, :96_000])[0], DECODER_HZ)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def song(clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The clip as `song.wav` in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("song.wav")
    path.write_bytes(clip)
    return path


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


def one_line(result: Result) -> str:
    (line,) = result.stderr.splitlines()
    return line


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def test_restore_writes_result_and_sidecar_beside_the_input(song: Path, clip: bytes) -> None:
    result = run("restore", "song.wav")
    assert result.exit_code == 0, result.output
    assert files() == {"song.wav", "song_restored.wav", "song_restored.wav.nitido.json"}
    assert song.read_bytes() == clip
    info = sf.info("song_restored.wav")
    assert (info.samplerate, info.frames, info.subtype) == (48_000, 96_000, "PCM_24")
    assert "It plays at −14.0 LUFS" in result.stdout
    assert "song_restored.wav" in result.stdout


def test_options_for_the_file_reach_the_file() -> None:
    arguments = ["--format", "flac", "--bit-depth", "16", "--sample-rate", "44100", "--removed"]
    assert run("restore", "song.wav", "-o", "out/", *arguments).exit_code == 0
    info = sf.info("out/song_restored.flac")
    assert (info.samplerate, info.subtype) == (44_100, "PCM_16")
    assert sf.info("out/song_restored.removed.flac").frames == info.frames


def test_a_dry_run_says_what_would_be_done_and_writes_nothing() -> None:
    result = run("restore", "song.wav", "--dry-run", "--without", "width")
    assert result.exit_code == 0, result.output
    assert files() == {"song.wav"}
    for stage in ("decomb", "bandwidth", "loudness"):
        assert stage in result.stdout
    assert "song_restored.wav" in result.stdout


def test_the_plan_of_a_dry_run_can_be_edited_and_carried_out() -> None:
    result = run("restore", "song.wav", "--dry-run", "--json", "--set", "bandwidth.amount=0.5")
    entry = json.loads(result.stdout)
    steps = {step["stage"]: step for step in entry["plan"]["steps"]}
    assert steps["bandwidth"]["settings"]["amount"] == 0.5
    steps["width"]["on"] = False
    Path("plan.json").write_text(json.dumps(entry))
    result = run("restore", "song.wav", "--plan", "plan.json", "--json")
    assert result.exit_code == 0, result.output
    done = {step["stage"]: step for step in json.loads(result.stdout)["plan"]["steps"]}
    assert not done["width"]["on"]
    assert done["bandwidth"]["settings"]["amount"] == 0.5
    assert sf.info("song_restored.wav").channels == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_plan_that_powershell_saved_is_read(encoding: str) -> None:
    plan = run("restore", "song.wav", "--dry-run", "--json").stdout
    Path("plan.json").write_text(plan, encoding)
    assert run("restore", "song.wav", "--plan", "plan.json").exit_code == 0


def test_a_sidecar_replays_to_the_same_bytes() -> None:
    assert run("restore", "song.wav").exit_code == 0
    plan = "song_restored.wav.nitido.json"
    assert run("restore", "song.wav", "--plan", plan, "-o", "again.wav").exit_code == 0
    assert Path("again.wav").read_bytes() == Path("song_restored.wav").read_bytes()


def test_loudness_off_keeps_the_level() -> None:
    result = run("restore", "song.wav", "--loudness", "off", "--dry-run", "--json")
    steps = {step["stage"]: step for step in json.loads(result.stdout)["plan"]["steps"]}
    assert not steps["loudness"]["on"]


def test_a_loop_keeps_its_ends() -> None:
    result = run("restore", "song.wav", "--loop", "--dry-run", "--json")
    steps = {step["stage"]: step for step in json.loads(result.stdout)["plan"]["steps"]}
    assert not steps["ending"]["on"]
    assert steps["ending"]["settings"]["loop"] is True


def test_sound_comes_from_standard_input_and_goes_to_standard_output(clip: bytes) -> None:
    piped = run("restore", "-", input=clip)
    assert piped.exit_code == 0, piped.stderr
    assert run("restore", "song.wav").exit_code == 0
    Path("piped.wav").write_bytes(piped.stdout_bytes)
    heard, sample_rate = sf.read("piped.wav")
    assert sample_rate == 48_000
    assert np.array_equal(heard, sf.read("song_restored.wav")[0])


def test_what_standard_output_cannot_take_along_is_said(clip: bytes) -> None:
    store = b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa" + bytes(12)
    chunk = b"C2PA" + struct.pack("<I", len(store)) + store
    size = struct.pack("<I", len(clip) + len(chunk) - 8)
    piped = run("restore", "-", input=clip[:4] + size + clip[8:] + chunk)
    assert piped.exit_code == 0
    assert "Content Credentials (C2PA) of the input are lost; -o FILE keeps them" in piped.stderr


def test_json_and_sound_do_not_share_standard_output(clip: bytes) -> None:
    result = run("restore", "-", "--json", input=clip)
    assert result.exit_code == 2
    assert "needs -o FILE" in one_line(result)


def test_one_bad_file_does_not_stop_the_others(clip: bytes) -> None:
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(b"these are words, not sound")
    Path("in/b.wav").write_bytes(clip)
    result = run("restore", "in", "-o", "out/")
    assert result.exit_code == 1
    assert files() == {
        "song.wav", "in/a.wav", "in/b.wav",
        "out/b_restored.wav", "out/b_restored.wav.nitido.json",
    }  # fmt: skip
    why, which = result.stderr.splitlines()
    assert why.startswith("Error: in/a.wav: a.wav is not an audio file")
    assert which == "1 of 2 failed: in/a.wav."
    assert result.stdout.splitlines()[-1].startswith("1 done, 1 failed; 2 s of audio in ")


def test_many_end_with_where_most_is_left_and_a_table_has_a_row_for_each(clip: bytes) -> None:
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(b"these are words, not sound")
    for name in ("b", "c"):
        Path(f"in/{name}.wav").write_bytes(clip)
    Path("in/list.jsonl").write_text(
        'a.wav\n{"input": "b.wav", "settings": {"decomb.mode": "off"}}\nc.wav'
    )
    arguments = ["--manifest", "in/list.jsonl", "-o", "out/", "--csv", "t.csv"]
    result = run("restore", *arguments)
    assert result.exit_code == 1
    heading, worst = result.stdout.splitlines()[-2:]
    assert heading == "Something is left to mend in:"
    assert worst.startswith("  out/b_restored.wav  comb ")
    bad, b, c = csv.DictReader(Path("t.csv").read_text("utf-8-sig").splitlines())
    assert (bad["state"], b["state"], c["state"]) == ("failed", "done", "done")
    assert "not an audio file" in bad["error"]
    assert "comb" in b["found_before"]
    assert "comb" in b["left_after"]
    assert "comb" not in c["left_after"]
    assert c["lufs_after"] == "-14.0"
    assert run("restore", *arguments, "--resume").exit_code == 1  # an earlier table is replaced
    again = csv.DictReader(Path("t.csv").read_text("utf-8-sig").splitlines())
    assert [row["state"] for row in again] == ["failed", "unchanged", "unchanged"]


@pytest.mark.parametrize("name", ["in/a.wav", "mine.csv"])
def test_a_table_replaces_no_file_but_an_earlier_table(clip: bytes, name: str) -> None:
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(clip)
    Path("mine.csv").write_text("file,mine")
    before = Path(name).read_bytes()
    assert run("restore", "in", "-o", "out/", "--csv", name).exit_code == 1
    assert Path(name).read_bytes() == before
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["in/a.wav", "list.txt", "plan.json", "out/in/a_restored.wav"])
def test_not_even_overwrite_puts_a_table_in_place_of_what_is_read_or_made(
    clip: bytes, name: str
) -> None:
    for folder in ("in", "out/in"):
        Path(folder).mkdir(parents=True)
    for piece in "ab":
        Path(f"in/{piece}.wav").write_bytes(clip)
    Path("list.txt").write_text("in/a.wav\nin/b.wav")
    Path("plan.json").write_text('{"steps": [{"stage": "dc"}]}')
    before = {path: path.read_bytes() for path in Path().rglob("*.*")}
    what = ["--manifest", "list.txt", "--plan", "plan.json", "-o", "out/"]
    result = run("restore", *what, "--overwrite", "--csv", name)
    assert result.exit_code in (1, 2)
    assert "another name" in result.stderr
    assert {path: path.read_bytes() for path in Path().rglob("*.*")} == before


def test_a_dry_run_of_several_pieces_is_a_line_each(clip: bytes) -> None:
    Path("other.wav").write_bytes(clip)
    result = run("restore", "song.wav", "other.wav", "--dry-run", "--without", "width")
    first, second, _ = result.stdout.splitlines()
    assert first == "song.wav → song_restored.wav  decomb, bandwidth, ending, loudness"
    assert second.startswith("other.wav → other_restored.wav  ")


def test_json_of_a_batch_has_one_object_per_file_in_the_order_of_the_input(clip: bytes) -> None:
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(b"these are words, not sound")
    for name in ("b", "c"):
        Path(f"in/{name}.wav").write_bytes(clip)
    result = run("restore", "in", "-o", "out/", "--json")
    entries = json.loads(result.stdout)
    assert [entry["file"] for entry in entries] == ["in/a.wav", "in/b.wav", "in/c.wav"]
    assert "not an audio file" in entries[0]["error"]
    assert entries[1]["output"] == "out/b_restored.wav"
    assert entries[1]["plan"]["steps"]


def test_resume_says_what_was_there_already(clip: bytes) -> None:
    assert run("restore", "song.wav").exit_code == 0
    again = run("restore", "song.wav", "--resume")
    assert again.exit_code == 0
    assert "is there already" in again.stdout
    Path("other.wav").write_bytes(clip)
    both = run("restore", "song.wav", "other.wav", "--resume")
    assert both.exit_code == 0, both.stderr
    assert "song.wav → song_restored.wav  unchanged" in both.stdout
    assert "1 done, 1 unchanged; " in both.stdout


def test_a_list_of_pieces_is_restored_each_in_its_own_way(clip: bytes) -> None:
    lines = [
        {"input": "song.wav", "output": "a.flac"},
        {"input": "song.wav", "output": "b/b.wav", "settings": {"width.mode": "off"}},
    ]
    Path("list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = run("restore", "--manifest", "list.jsonl", "-o", "out", "--bit-depth", "16")
    assert result.exit_code == 0, result.output
    assert (sf.info("out/a.flac").channels, sf.info("out/b/b.wav").channels) == (2, 1)
    assert sf.info("out/b/b.wav").subtype == "PCM_16"


def test_the_shards_together_are_all_pieces(clip: bytes) -> None:
    Path("in").mkdir()
    for number in range(4):
        Path(f"in/{number}.wav").write_bytes(clip)
    made: list[str] = []
    for number in (1, 2):
        result = run("restore", "in", "-o", "out/", "--shard", f"{number}/2", "--dry-run", "--json")
        assert result.exit_code == 0, result.stderr
        content = json.loads(result.stdout)
        made += [entry["file"] for entry in ([content] if isinstance(content, dict) else content)]
    assert sorted(made) == [f"in/{number}.wav" for number in range(4)]


def test_json_of_several_files_lists_each_also_the_failed() -> None:
    Path("bad.wav").write_bytes(b"")
    result = run("diagnose", "bad.wav", "song.wav", "--json")
    assert result.exit_code == 1
    bad, good = json.loads(result.stdout)
    assert (bad["file"], good["file"]) == ("bad.wav", "song.wav")
    assert "error" in bad
    assert {finding["kind"] for finding in good["findings"]} >= {"comb", "bandwidth", "loudness"}


def test_an_existing_result_is_only_replaced_when_asked() -> None:
    Path("song_restored.wav").write_bytes(b"mine")
    result = run("restore", "song.wav")
    assert result.exit_code == 1
    assert "--overwrite" in one_line(result)
    assert Path("song_restored.wav").read_bytes() == b"mine"
    assert run("restore", "song.wav", "--overwrite").exit_code == 0
    assert sf.info("song_restored.wav").frames == 96_000


@pytest.mark.parametrize("link", [None, "soft", "hard"])
def test_the_input_is_never_the_output(link: str | None, song: Path, clip: bytes) -> None:
    output = song if link is None else Path("link.wav")
    if link == "soft":
        output.symlink_to(song)
    if link == "hard":
        output.hardlink_to(song)
    result = run("restore", "song.wav", "-o", str(output), "--overwrite")
    assert result.exit_code == 1
    assert "input" in one_line(result)
    assert song.read_bytes() == clip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["restore", "song.wav", "--preset", "musicgem"], "did you mean 'musicgen'"),
        (["restore", "song.wav", "--stages", "decom"], "did you mean 'decomb'"),
        (["restore", "song.wav", "--set", "bandwidth.amuont=1"], "did you mean 'amount'"),
        (["restore", "song.wav", "--set", "bandwidth"], "STAGE.SETTING=VALUE"),
        (["restore", "song.wav", "--loudness", "loud"], "is a number between -60 and -5, or none."),
        (["restore", "song.wav", "--set", "width.amount=wide"], "is a number between 0 and 2."),
        (["restore", "song.wav", "-o", "k.wav", "--format", "flac"], "--format flac another"),
        (["restore", "song.wav", "--csv", "t.csv", "--dry-run"], "leave it out"),
        (["diagnose", "nothing/*.wav"], "Nothing matches"),
        (["restore", "nothing/*.wav"], "Nothing matches"),
        (["restore", "song.wav", "--bad"], "No such option"),
        (["restore"], "Missing argument"),
        (["restore", "song.wav", "--shard", "5/4"], "K/N"),
        (["restore", "song.wav", "--workers", "0"], "--workers"),
        (["restore", "song.wav", "--manifest", "list.jsonl"], "leave out"),
        (["restore", "song.wav", "--ray", "song.wav"], "put it last"),
        (["restore", "-", "song.wav", "-o", "out/"], "single stream"),
        (["restroe"], "Did you mean 'restore'? See"),
        (["stages", "bandwith"], "did you mean 'bandwidth'"),
        (["presets", "loud"], "argument (loud). See "),
    ],
)
def test_wrong_usage_is_one_helpful_line_and_status_2(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert one_line(result).startswith("Error: ")
    assert says in one_line(result)
    assert files() == {"song.wav"}


def test_what_each_command_is_for_is_told_whole_in_the_list_of_them() -> None:
    result = run("--help")
    assert "..." not in result.stdout.partition("Commands:")[2].partition("Examples:")[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"these are words, not sound", b"RIFF\x00\x00\x00\x00WAVE"],
    ids=["empty", "words", "torn"],
)
def test_a_bad_file_is_one_line_and_status_1(content: bytes) -> None:
    Path("bad.wav").write_bytes(content)
    for command in ("diagnose", "restore"):
        result = run(command, "bad.wav")
        assert result.exit_code == 1
        assert one_line(result).startswith("Error: ")
    assert files() == {"song.wav", "bad.wav"}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--stages", "dc"), ("--preset", "gentle"), ("--set", "dc.mode=off"), ("--loudness", "-16")],
)
def test_a_choice_beside_a_plan_is_refused_by_its_name(option: str, value: str) -> None:
    Path("plan.json").write_text('{"steps": []}')
    result = run("restore", "song.wav", "--plan", "plan.json", option, value)
    assert result.exit_code == 2
    assert "--plan and --" in one_line(result)
    assert option in one_line(result)
    assert "exclude each other" in one_line(result)


def test_a_plan_that_is_none_is_refused() -> None:
    Path("plan.json").write_text("{}")
    assert run("restore", "song.wav", "--plan", "plan.json").exit_code == 2
    assert run("restore", "song.wav", "--plan", "gone.json").exit_code == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "the disk is full")

    monkeypatch.setattr("os.fsync", full)
    result = run("restore", "song.wav")
    assert result.exit_code == 1
    assert "space" in one_line(result)
    assert files() == {"song.wav"}


def test_an_unforeseen_error_is_one_line_and_a_traceback_only_with_v(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the lamp\nwent out")

    monkeypatch.setattr("nitido.api.diagnose", fail)
    result = run("diagnose", "song.wav")
    assert result.exit_code == 1
    assert "RuntimeError: the lamp went out" in one_line(result)
    assert "Traceback" in run("diagnose", "song.wav", "-v").stderr


def test_control_c_is_one_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nitido.output.sidecar_of", interrupt)
    monkeypatch.setattr("nitido.restoration.restore.Chain.run", interrupt)
    result = run("restore", "song.wav")
    assert result.exit_code == 130
    assert "stopped" in one_line(result)
    assert files() == {"song.wav"}


def test_a_real_control_c_stops_the_program_cleanly() -> None:
    rng = np.random.default_rng(0)
    sf.write("long.wav", 0.1 * rng.standard_normal((60 * 48_000, 2)), 48_000)
    program = "import sys; from nitido.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "restore", "long.wav"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while files() == {"song.wav", "long.wav"}:  # until it has begun a result
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert len(said.splitlines()) == 1
    assert files() == {"song.wav", "long.wav"}


def test_diagnose_shows_every_finding_and_a_verdict() -> None:
    result = run("diagnose", "song.wav")
    assert result.exit_code == 0, result.output
    for kind in ("comb", "bandwidth", "width", "loudness"):
        assert kind in result.stdout
    assert "32000 Hz, mono" in result.stdout


def test_diagnose_takes_folders_and_globs_a_line_for_each_piece(clip: bytes) -> None:
    for name in ("in/a.wav", "in/below/b.wav", "c/[1].wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(clip)
    result = run("diagnose", "in", "c/*.wav", "in/a.wav", "song.wav")
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    names = ["in/a.wav", "in/below/b.wav", "c/[1].wav", "song.wav"]
    assert [line.split("  ")[0] for line in lines] == names
    assert all("comb" in line for line in lines)
    assert last.startswith("4 pieces; found: ")
    assert "comb in 4" in last


def test_a_comparison_replaces_none_of_the_files_it_compares(clip: bytes) -> None:
    run("restore", "song.wav", "-o", "after.wav")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    for option in ("--html", "--png"):
        result = run("compare", "song.wav", "after.wav", option, "song.wav", "--overwrite")
        assert result.exit_code == 1
        assert "one of the files to compare" in one_line(result)
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_only_our_words_stand_on_standard_error() -> None:
    wav, rate = sf.read("song.wav", dtype="float32")
    sf.write("whole.mp3", wav, rate, format="MP3")
    content = bytearray(Path("whole.mp3").read_bytes())
    frame = content.index(bytes(content[:2]), len(content) // 2)
    content[frame + 4 : frame + 40] = b"\xff" * 36  # the decoder minds, and says so to C's stderr
    for name in ("a.mp3", "b.mp3"):
        Path(name).write_bytes(content)
    listen = [sys.executable, "-c", "import nitido; nitido.diagnose('a.mp3')"]
    heard = subprocess.run(listen, capture_output=True, text=True)
    assert "libmpg123" in heard.stderr

    program = "import sys; from nitido.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-Xfaulthandler", "-c", program]
    inputs = ["a.mp3", "b.mp3", "missing.wav"]
    for arguments in (["diagnose", *inputs], ["restore", *inputs[:2], "-o", "o/", "--workers=2"]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        assert "libmpg123" not in done.stderr
        assert ("missing.wav" in done.stderr) == ("missing.wav" in arguments)
    shown = subprocess.run([*command, "diagnose", "-v", inputs[2]], capture_output=True, text=True)
    assert "Traceback" in shown.stderr


def test_a_picture_replaces_none_of_the_files_it_compares() -> None:
    sound = Path("song.wav").read_bytes()
    for name in ("after.wav", "song_after.png"):
        Path(name).write_bytes(sound)
    files = ["song.wav", "after.wav", "song_after.png"]
    result = run("compare", *files, "--png", ".", "--overwrite")
    assert result.exit_code == 1
    assert "one of the files to compare" in one_line(result)
    assert Path("song_after.png").read_bytes() == sound


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-c", "from nitido.cli import main; main()", "diagnose"]
    process = subprocess.Popen(
        [*command, *["song.wav"] * 2], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate()[1] == b""


def test_every_setting_is_listed_with_its_meaning() -> None:
    from nitido.restoration.registry import STAGES

    listed = json.loads(run("stages", "--json").stdout)
    assert [stage["stage"] for stage in listed] == list(STAGES)
    entries = {entry["name"]: entry for stage in listed for entry in stage["settings"]}
    assert set(entries) == {
        f"{name}.{key}"
        for name, stage in STAGES.items()
        for key, setting in stage.schema.items()
        if not setting.measured
    }
    assert not [name for name, entry in entries.items() if not entry["meaning"]]
    assert "bandwidth.amount" in run("stages", "bandwidth").stdout


def test_presets_are_listed_with_what_they_let_run() -> None:
    result = run("presets")
    for name in ("auto", "musicgen", "song", "gentle", "master"):
        assert f"{name}  " in result.stdout
    listed = {preset["name"]: preset for preset in json.loads(run("presets", "--json").stdout)}
    modes = {stage["stage"]: stage["mode"] for stage in listed["gentle"]["stages"]}
    assert modes["width"] == "off"


def test_the_version_is_the_package_s() -> None:
    assert run("--version").stdout.split()[-1] == nitido.__version__


@pytest.mark.parametrize("command", ["restore", "diagnose"])
def test_a_cut_file_is_taken_as_its_error_says(song: Path, command: str) -> None:
    song.write_bytes(song.read_bytes()[:-20_001])
    result = run(command, "song.wav")
    assert result.exit_code == 1
    assert "with --damaged take." in one_line(result)
    result = run(command, "song.wav", "--damaged", "take")
    assert result.exit_code == 0, result.output
    assert "song.wav is cut short or damaged" in result.stdout
    assert result.stderr == ""
    if command == "restore":
        assert sf.info("song_restored.wav").frames < 96_000
