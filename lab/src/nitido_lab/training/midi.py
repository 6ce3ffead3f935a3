"""Clean full-band music from MIDI: files, or random pieces, played by FluidSynth on a SoundFont."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nitido.errors import ConfigError, MissingExtraError
from nitido.optional import load
from nitido_lab.training.config import PACKAGES

RATE = 48_000
# General MIDI programs by what they do in a piece.
CHORDS = (*range(8), *range(16, 21), *range(24, 32), *range(48, 55), *range(61, 64), *range(80, 96))
BASSES = tuple(range(32, 40))
LEADS = (*range(15), *range(21, 32), *range(40, 47), *range(56, 88), *range(104, 112))
# Instruments that are heard alone: pianos, mallets, organs, guitars, strings, voices, brass, reeds,
# pipes, plucked ones of the world.
SOLOS = (*range(32), *range(40, 80), *range(104, 112))
SOLO_SHARE = 0.5
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))
KICK, SNARE, HAT, OPEN_HAT, CRASH, RIDE, SHAKER = 36, 38, 42, 46, 49, 51, 82
# Treble is mostly cymbals and small percussion. Kits: standard, room, power, electronic, TR-808,
# jazz, brushes, orchestra; clap, tambourine, bongo, cabasa, maracas, guiro, claves, triangle.
KITS = (0, 8, 16, 24, 25, 32, 40, 48)
PERCUSSION = (39, 54, 60, 69, 70, 73, 75, 81, RIDE, SHAKER)
DRUMS = 9  # the channel of all kits
TICKS = 480
ALL_SOUND_OFF = 120
LIMIT_SECONDS = 300  # FluidSynth takes a tenth of a piece's length


def soundfont_of(name: str, soundfonts: Sequence[str]) -> Path:
    """Return the SoundFont that a piece is rendered with: always the same one of those there are.

    Raises:
        ConfigError: there are none.
    """
    if not soundfonts:
        raise ConfigError("MIDI is rendered with SoundFonts; name at least one in soundfonts.")
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return Path(soundfonts[number % len(soundfonts)])


def render_midi(midi: Path, wav: Path, *, soundfont: Path, seconds: float) -> None:
    """Write a WAV file of 48 kHz with the first `seconds` of a MIDI file.

    Raises:
        MissingExtraError: the fluidsynth program or mido is not installed.
        ConfigError: no such SoundFont, or the file is no MIDI file.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise MissingExtraError("Rendering MIDI needs FluidSynth: apt install fluidsynth.")
    if not soundfont.is_file():
        package = PACKAGES.get(soundfont.name)
        remedy = f"apt install {package}" if package else "name one that is there in soundfonts"
        raise ConfigError(f"There is no SoundFont {soundfont}; {remedy}.")
    wav.parent.mkdir(parents=True, exist_ok=True)
    short, part = wav.with_suffix(".mid"), wav.with_suffix(".part.wav")
    _shortened(midi, seconds).save(short)
    command = [program, "-ni", "-q", "-g", "0.5", "-r", str(RATE), "-O", "float"]
    command += ["-T", "wav", "-F", str(part), str(soundfont), str(short)]
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, timeout=LIMIT_SECONDS)
    short.unlink()
    part.replace(wav)


def _shortened(midi: Path, seconds: float) -> Any:
    mido = load("mido", need="Reading MIDI", remedy="pip install -e 'lab[train]'")
    try:
        song = mido.MidiFile(midi, clip=True)
        messages = list(song)  # with times in seconds
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ConfigError(f"{midi.name} is no MIDI file: {error}.") from None
    track, now, written = mido.MidiTrack(), 0.0, 0.0
    for message in messages:
        now += message.time
        if now > seconds:
            break
        if not message.is_meta:
            track.append(message.copy(time=_ticks(now - written)))
            written = now
    for channel in range(16):  # or FluidSynth plays what still sounds for ever
        off = {"channel": channel, "control": ALL_SOUND_OFF}
        rest = _ticks(min(now, seconds) - written) if channel == 0 else 0
        track.append(mido.Message("control_change", **off, time=rest))
    return mido.MidiFile(tracks=[track], ticks_per_beat=TICKS)


def _ticks(seconds: float) -> int:
    """Return a time in ticks at the tempo of a file that names none, 120 beats a minute."""
    return round(max(seconds, 0.0) * 2 * TICKS)


def random_piece(path: Path, *, seed: int, seconds: float) -> None:
    """Write a MIDI file with a random piece: a band, some of it silent, or one instrument alone.

    No composer's work: it only has to have instruments, chords, rhythm and dynamics together.
    """
    mido = load("mido", need="Writing MIDI", remedy="pip install -e 'lab[train]'")
    rng = np.random.default_rng(seed)
    beat_seconds = 60 / rng.uniform(70, 170)
    bars = max(1, int(seconds / beat_seconds / 4))
    if rng.random() < SOLO_SHARE:
        notes, programs = _solo(rng, bars), {0: int(rng.choice(SOLOS))}
    else:
        notes = _band(rng, bars)
        groups = {0: CHORDS, 1: BASSES, 2: LEADS, DRUMS: KITS}
        programs = {channel: int(rng.choice(group)) for channel, group in groups.items()}
    _save(mido, path, notes, programs, beat_seconds)


@dataclass(frozen=True)
class _Note:
    """One note; times in beats from the start."""

    start: float
    beats: float
    channel: int
    key: int
    velocity: int


def _scale(rng: np.random.Generator) -> Callable[[int, int], int]:
    """Return what turns a degree and an octave into a key, in a random scale."""
    scale, tonic = SCALES[rng.integers(len(SCALES))], int(rng.integers(12))

    def pitch(degree: int, octave: int) -> int:
        return 12 * (octave + degree // 7) + tonic + scale[degree % 7]

    return pitch


def _solo(rng: np.random.Generator, bars: int) -> list[_Note]:
    """Return a piece for one instrument, in one to three voices, soft or loud as it comes."""
    pitch, octave = _scale(rng), int(rng.integers(3, 7))
    voices, loud = int(rng.integers(1, 4)), float(rng.uniform(30, 115))
    notes = []
    beat, degree = 0.0, int(rng.integers(7))
    while beat < 4 * bars:
        beats = float(rng.choice([0.25, 0.5, 1, 2, 4], p=[0.15, 0.3, 0.3, 0.15, 0.1]))
        degree = int(np.clip(degree + rng.integers(-4, 5), -4, 11))
        if rng.random() < 0.9:
            for third in range(voices):
                velocity = int(np.clip(loud + rng.normal(0, 12), 10, 127))
                held = beats * rng.uniform(0.6, 1.1)
                notes.append(_Note(beat, held, 0, pitch(degree + 2 * third, octave), velocity))
        beat += beats
    return notes


def _band(rng: np.random.Generator, bars: int) -> list[_Note]:
    """Return a piece for chords, bass, lead and drums; not all of them always play."""
    pitch = _scale(rng)
    notes = []
    pattern = rng.random((5, 16)) < np.array([[0.2], [0.12], [0.55], [0.1], [0.25]])
    kit = (KICK, SNARE, HAT, OPEN_HAT, int(rng.choice(PERCUSSION)))
    parts = rng.random(4) < 0.85  # chords, bass, lead, drums
    loud = rng.integers(50, 115, 4)
    for bar in range(bars):
        root = int(rng.integers(7))
        start = 4.0 * bar
        if parts[0]:
            cuts = int(rng.choice([1, 2, 4, 8]))
            for cut in range(cuts):
                for third in (0, 2, 4, 6)[: int(rng.integers(3, 5))]:
                    beats, key = 4 / cuts * rng.uniform(0.5, 1), pitch(root + third, 5)
                    notes.append(_Note(start + 4 * cut / cuts, beats, 0, key, int(loud[0])))
        if parts[1]:
            for eighth in np.flatnonzero(rng.random(8) < 0.6):
                notes.append(_Note(start + eighth / 2, 0.45, 1, pitch(root, 3), int(loud[1])))
        if parts[2]:
            for eighth in np.flatnonzero(rng.random(8) < 0.5):
                key, beats = pitch(root + int(rng.integers(-3, 8)), 6), rng.uniform(0.3, 1.5)
                notes.append(_Note(start + eighth / 2, beats, 2, key, int(loud[2])))
        if parts[3]:
            for drum, row in zip(kit, pattern, strict=True):
                for step in np.flatnonzero(row):
                    velocity = int(np.clip(loud[3] + rng.normal(0, 15), 10, 127))
                    notes.append(_Note(start + step / 4, 0.2, DRUMS, drum, velocity))
            if bar % 4 == 0:
                crash = int(rng.choice([CRASH, RIDE, SHAKER]))
                notes.append(_Note(start, 1.0, DRUMS, crash, int(loud[3])))
    return notes


def _save(
    mido: Any,
    path: Path,
    notes: list[_Note],
    programs: dict[int, int],
    beat_seconds: float,
) -> None:
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=round(beat_seconds * 1e6)))
    for channel, program in programs.items():
        track.append(mido.Message("program_change", channel=channel, program=program))
    events = []
    for note in notes:
        end = note.start + note.beats
        events.append((round(note.start * TICKS), 1, note.channel, note.key, note.velocity))
        events.append((round(end * TICKS), 0, note.channel, note.key, 0))
    now = 0
    for tick, _, channel, key, velocity in sorted(events):
        kind = {"type": "note_on", "channel": channel, "velocity": velocity}
        kind["note"] = min(max(key, 0), 127)
        track.append(mido.Message(**kind, time=tick - now))
        now = tick
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(tracks=[track], ticks_per_beat=TICKS).save(path)
