"""A short piece of music made of nothing but numbers: the demo's and the tests' clean original.

Drums, bass, pad and a plucked melody, 112 bpm, stereo, with a true top octave. Four chords (IV V
iii vi) go round and the piece comes home on the tonic, which rings out. The seed chooses the key,
the melody and the small human unevenness; the same seed gives the same samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from nitido.dsp.wav import Wav, check_sample_rate
from nitido.errors import ConfigError

Sound = NDArray[np.float64]

BPM = 112
STEPS_PER_BAR = 16
RING_SECONDS = 2.6  # the least that the last chord has to ring out
PEAK_DBFS = -1.5
SWING = 0.12  # every other sixteenth comes this share of a sixteenth late

# Bass note and voicing of each bar, MIDI numbers in C major.
CHORDS = (
    (41, (57, 60, 64, 67)),  # Fmaj9
    (43, (59, 62, 64, 69)),  # G6/9
    (40, (55, 59, 62, 67)),  # Em7
    (45, (55, 60, 64, 71)),  # Am9
)
HOME = (36, (55, 60, 62, 64, 71))  # Cmaj9
SCALE = (67, 69, 72, 74, 76, 79, 81, 84)  # C pentatonic, for the melody
MOTIFS = ((0, 3, 6, 8, 11, 14), (0, 3, 6, 10, 12), (2, 4, 7, 10, 12, 14), (0, 4, 6, 9, 12, 15))
BASS = ((0, 2.6, 0), (3, 1.5, 0), (6, 3.0, 0), (10, 2.5, 0), (13, 1.0, 12), (14, 1.6, 7))
KICK = (0, 6, 10)
SNARE = (4, 12)


def render(seed: int = 0, *, seconds: float = 12.0, sample_rate: int = 48_000) -> Wav:
    """Return the piece `[2, T]`, peak −1.5 dBFS; it ends by itself.

    Args:
        seed: of key, melody and unevenness.
        seconds: length; from about 5 s on there is time for a bar and the last chord.
        sample_rate: Hz.

    Raises:
        ConfigError: no length.
        SampleRateError: a sample rate that nitido does not accept.
    """
    if not seconds > 0:
        raise ConfigError(f"A piece of {seconds} s cannot be rendered; give more than 0.")
    return _Tune(seed, seconds, check_sample_rate(sample_rate)).render()


class _Tune:
    """The players and the desk: each player adds sounds to a bus `[2, T]`."""

    def __init__(self, seed: int, seconds: float, sample_rate: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rate = sample_rate
        self.samples = max(1, round(seconds * sample_rate))
        self.step_seconds = 60 / BPM / 4
        self.bars = max(1, int((seconds - RING_SECONDS) / (STEPS_PER_BAR * self.step_seconds)))
        self.key = int(self.rng.integers(-3, 4))
        self.drums, self.bass, self.pad, self.melody = np.zeros((4, 2, self.samples))

    def render(self) -> Wav:
        for bar in range(self.bars):
            root, notes = CHORDS[bar % len(CHORDS)]
            self._play_drums(bar)
            for step, length, interval in BASS:
                self._add(self.bass, bar, step, self._bass(root + interval, length), 0.5)
            self._play_pad(bar, notes, STEPS_PER_BAR * self.step_seconds + 0.25, 0.5)
        self._play_melody()
        self._play_home()
        return self._mix()

    # The players

    def _play_drums(self, bar: int) -> None:
        last = bar == self.bars - 1
        if bar == 0:
            self._add(self.drums, bar, 0, 0.3 * self._cymbal(0.7), 0.4)
        for step in KICK:
            self._add(self.drums, bar, step, 0.95 * self._kick(), 0.5)
        for step in (*SNARE, 14, 15) if last else SNARE:  # a short fill leads home
            self._add(self.drums, bar, step, self._uneven(0.62) * self._snare(), 0.47)
        for step in range(0, STEPS_PER_BAR, 2):
            is_open = step == 14
            accent = 0.42 if step % 4 == 0 else 0.3
            hat = self._hat(0.16 if is_open else 0.028)
            self._add(self.drums, bar, step, self._uneven(accent) * hat, 0.62)
        for step in range(STEPS_PER_BAR):
            self._add(self.drums, bar, step, self._uneven(0.1) * self._shaker(), 0.22)

    def _play_pad(self, bar: int, notes: tuple[int, ...], seconds: float, release: float) -> None:
        for note in notes:
            for side in (0.12, 0.88):
                self._add(self.pad, bar, 0, 0.05 * self._pad(note, seconds, release), side)

    def _play_melody(self) -> None:
        place = int(self.rng.integers(2, 5))
        for bar in range(self.bars):
            chord = {(note + 12) % 12 for note in CHORDS[bar % len(CHORDS)][1]}
            steps = MOTIFS[int(self.rng.integers(len(MOTIFS)))] if bar % 2 else MOTIFS[0]
            for step in steps:
                place += int(self.rng.choice((-2, -1, -1, 1, 1, 2)))
                place = min(max(place, 0), len(SCALE) - 2)
                if step % 4 == 0 and SCALE[place] % 12 not in chord:
                    place += 1  # on the beat, a note of the chord if there is one beside it
                pan = 0.5 + 0.2 * np.sin(2.4 * (bar * STEPS_PER_BAR + step))
                pluck = self._uneven(0.5) * self._pluck(SCALE[place], 1.4)
                self._add(self.melody, bar, step, pluck, pan)

    def _play_home(self) -> None:
        """The last chord: everyone together, then it rings."""
        root, notes = HOME
        bar = self.bars
        self._add(self.drums, bar, 0, 0.95 * self._kick(), 0.5)
        self._add(self.drums, bar, 0, 0.45 * self._cymbal(0.9), 0.6)
        self._add(self.bass, bar, 0, self._bass(root, 20.0), 0.5)
        self._play_pad(bar, notes, 3.2, 2.6)
        for number, note in enumerate((60, 64, 67, 74, 76, 84)):  # rolled upwards
            pluck = 0.42 * self._pluck(note, 2.6)
            self._add(self.melody, bar, 0.25 * number, pluck, 0.25 + 0.1 * number)

    # The instruments

    def _kick(self) -> Sound:
        t = self._time(0.5)
        body = np.sin(2 * np.pi * (47 * t + 110 * 0.028 * (1 - np.exp(-t / 0.028))))
        click = self.rng.standard_normal(len(t)) * np.exp(-t / 0.0015)
        return body * np.exp(-t / 0.13) + 0.12 * click

    def _snare(self) -> Sound:
        t = self._time(0.4)
        body = np.sin(2 * np.pi * 186 * t) + 0.6 * np.sin(2 * np.pi * 331 * t)
        wires = self._high(self.rng.standard_normal(len(t)), 1400)
        return 0.55 * body * np.exp(-t / 0.06) + 0.33 * wires * np.exp(-t / 0.075)

    def _hat(self, decay_seconds: float) -> Sound:
        t = self._time(6 * decay_seconds + 0.05)
        partials_hz = np.array([[3173], [4261], [5417], [6529], [7907]])
        metal: Sound = np.sign(np.sin(2 * np.pi * partials_hz * t)).sum(axis=0)
        noise = self.rng.standard_normal(len(t))
        return self._high(0.075 * metal + 0.36 * noise, 7200) * np.exp(-t / decay_seconds)

    def _shaker(self) -> Sound:
        t = self._time(0.09)
        swell: Sound = np.minimum(t / 0.018, 1) * np.exp(-t / 0.022)
        return self._high(self.rng.standard_normal(len(t)), 5200) * swell

    def _cymbal(self, decay_seconds: float) -> Sound:
        t = self._time(5 * decay_seconds)
        noise = self._high(self.rng.standard_normal(len(t)), 3200)
        wash = self._high(noise, 8500)
        tail = noise * np.exp(-t / decay_seconds) + 0.8 * wash * np.exp(-t / (0.5 * decay_seconds))
        return 0.28 * np.minimum(t / 0.004, 1) * tail

    def _bass(self, note: int, steps: float) -> Sound:
        t = self._time(steps * self.step_seconds)
        hz = self._hz(note)
        growl = _wave(hz, t, self._cycle(hz, slope=1.1, dull_hz=700))
        envelope = (
            np.minimum(t / 0.004, 1) * np.exp(-t / 0.8) * _release(t, 0.03 if steps < 4 else 1.5)
        )
        return (0.34 * growl + 0.36 * np.sin(2 * np.pi * hz * t)) * envelope

    def _pad(self, note: int, seconds: float, release: float) -> Sound:
        t = self._time(seconds)
        hz = self._hz(note)
        cycle = self._cycle(hz, slope=1.0, dull_hz=2200)
        detune = 1 + self.rng.uniform(-0.004, 0.004, 3)
        chorus = sum(_wave(hz * ratio, t, cycle, self.rng.random()) for ratio in detune)
        breath = 1 + 0.15 * np.sin(2 * np.pi * 0.7 * t + self.rng.uniform(0, 6))
        return np.asarray(chorus) * breath * np.minimum(t / 0.12, 1) * _release(t, release)

    def _pluck(self, note: int, seconds: float) -> Sound:
        """A plucked string: a burst of noise goes round in a loop that dulls it at each turn.

        Source: Karplus and Strong, Computer Music Journal 7(2), 1983.
        """
        turn = self.rate / self._hz(note) - 1  # the loop's three-tap filter delays by one sample
        whole, part = int(turn), turn - int(turn)
        burst = np.zeros(round(seconds * self.rate))
        burst[: whole + 1] = self.rng.uniform(-1, 1, min(whole + 1, len(burst)))
        burst = self._low(burst, 2900)  # a soft pick
        kept = 0.001 ** (turn / self.rate / 2.2)  # −60 dB in 2.2 s, sooner for high partials
        loop = kept * np.convolve((1 - part, part), (0.04, 0.92, 0.04))
        feedback = np.concatenate([[1.0], np.zeros(whole - 1), -loop])
        string = 3 * scipy.signal.lfilter([1.0], feedback, burst)
        return np.asarray(string) * _release(self._time(seconds), 0.3)

    # The desk

    def _mix(self) -> Wav:
        drums = self._low(self.drums, 6000)  # white noise is brighter than any cymbal
        delay = round(3 * self.step_seconds * self.rate)  # a dotted eighth, from side to side
        echo = self.melody + 0.0
        for _ in range(2):
            late = np.pad(echo[::-1, :], ((0, 0), (delay, 0)))[:, : self.samples]
            echo = self.melody + 0.33 * late
        room = self._room(0.9 * echo + 0.5 * self.pad + 0.2 * drums)
        mix = 0.8 * drums + 0.5 * self.bass + self.pad + 0.85 * echo + room
        mix = np.tanh(0.8 * self._high(mix, 28))  # no rumble, rounded peaks
        fade = min(self.samples, round(0.5 * self.rate))
        mix[:, self.samples - fade :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
        peak = np.abs(mix).max()
        gain = 10 ** (PEAK_DBFS / 20) / peak if peak > 0 else 1.0
        return np.asarray(gain * mix, np.float32)

    def _room(self, dry: Sound) -> Sound:
        """Return the reverberation of `dry` `[2, T]`; the treble dies away first."""
        t = self._time(1.6)
        noise = self.rng.standard_normal((2, len(t)))
        response = 0.5 * noise * np.exp(-t / 0.09) + self._low(noise, 3500) * np.exp(-t / 0.27)
        response[:, : round(0.012 * self.rate)] = 0
        response *= 0.3 / np.sqrt((response**2).sum(axis=1, keepdims=True))
        return np.asarray(scipy.signal.oaconvolve(dry, response, axes=1))[:, : self.samples]

    def _add(self, bus: Sound, bar: int, step: float, sound: Sound, pan: float) -> None:
        """Add a sound at a step of a bar; pan 0 is left, 1 is right, at equal power."""
        late = SWING if step % 2 == 1 else 0.0
        at = round((bar * STEPS_PER_BAR + step + late) * self.step_seconds * self.rate)
        sound = sound[: max(0, self.samples - at)]
        sides = np.cos(np.pi / 2 * pan), np.sin(np.pi / 2 * pan)
        bus[:, at : at + len(sound)] += np.outer(sides, sound)

    def _time(self, seconds: float) -> Sound:
        return np.arange(round(seconds * self.rate)) / self.rate

    def _hz(self, note: int) -> float:
        return float(440 * 2 ** ((note + self.key - 69) / 12))

    def _uneven(self, level: float) -> float:
        return level * float(self.rng.uniform(0.8, 1.15))

    def _high(self, sound: Sound, hz: float) -> Sound:
        return self._filter(sound, 2, hz, "high")

    def _low(self, sound: Sound, hz: float) -> Sound:
        return self._filter(sound, 1, hz, "low")

    def _filter(self, sound: Sound, order: int, hz: float, kind: Literal["low", "high"]) -> Sound:
        hz = min(hz, 0.45 * self.rate)
        sections = scipy.signal.butter(order, hz, kind, fs=self.rate, output="sos")
        return np.asarray(scipy.signal.sosfilt(sections, sound, axis=-1))

    def _cycle(self, hz: float, *, slope: float, dull_hz: float) -> Sound:
        """Return one cycle with partials 1 / k^slope, weaker by 1 / e per `dull_hz`."""
        number = np.arange(1, max(1, min(2048, int(0.45 * self.rate / hz))) + 1)
        partials = np.zeros(2049, np.complex128)
        partials[number] = -1j * number**-slope * np.exp(-number * hz / dull_hz)
        return np.asarray(scipy.fft.irfft(partials, 4096)) * 2048 / 1.5


def _wave(hz: float, t: Sound, cycle: Sound, phase: float = 0.0) -> Sound:
    """Return `cycle` played `hz` times a second."""
    position = (hz * t + phase) % 1 * len(cycle)
    return np.asarray(np.interp(position, np.arange(len(cycle) + 1), np.append(cycle, cycle[0])))


def _release(t: Sound, seconds: float) -> Sound:
    """Return a gain that is 1 and goes down to 0 over the last `seconds`."""
    left = (t[-1] - t) / seconds if len(t) else t
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(left, 0, 1)))
