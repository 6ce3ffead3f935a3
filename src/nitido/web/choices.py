"""What a visitor may choose on the page, in a musician's words, and what that means for a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nitido.errors import ConfigError
from nitido.restoration.restore_options import RestoreOptions

# What each preset, and each stage, is called on the page. What is not named here the page has not:
# a stage or a preset that fetches weights from a hub would ask another host.
PRESETS = {"auto": "Standard", "gentle": "Gentle", "master": "Master"}
STAGES = {
    "declip": "Crackle of cut-off peaks",
    "declick": "Clicks",
    "dc": "Rumble and offset",
    "decomb": "Metallic whine",
    "deshimmer": "Flickering treble",
    "demud": "Mud",
    "deharsh": "Harshness",
    "deess": "Sharp s",
    "match": "Tone",
    "bandwidth": "Missing treble",
    "transients": "Soft attacks",
    "stereo": "Sides against each other",
    "width": "Narrow sound",
    "ending": "Start and end",
    "loudness": "Loudness",
}
# What is done about it.
REPAIRS = {
    "declip": "rebuild the peaks",
    "declick": "rebuild what the clicks cover",
    "dc": "centre the waveform, take out what is below hearing",
    "decomb": "take out the whine",
    "deshimmer": "calm the treble",
    "demud": "clear it",
    "deharsh": "soften what rings",
    "deess": "soften it",
    "match": "bring it nearer to other music",
    "bandwidth": "bring the treble back",
    "transients": "sharpen the attacks",
    "stereo": "let left and right work together",
    "width": "widen mono to stereo",
    "ending": "fade where it breaks off",
    "loudness": "play as loud as other music",
}
# What a finding is called, and what one hears of it.
FINDINGS = {
    "bandwidth": ("Missing treble", "Cymbals and air are missing; it sounds covered."),
    "clicks": ("Clicks", "Short ticks, as of a scratched record."),
    "clipping": ("Crackle of cut-off peaks", "Loud moments crackle or sound harsh."),
    "comb": ("Metallic whine", "A thin metallic veil, heard best where it is quiet."),
    "dc": ("Off centre", "Not heard, but it takes room from the loudest moments."),
    "end": ("Abrupt end", "It breaks off."),
    "gaps": ("Dropouts", "The sound is gone for a moment."),
    "harshness": ("Harshness", "The loud moments sting: something rings in them."),
    "loudness": ("Loudness", "Beside other music it plays too loud or too quiet."),
    "mud": ("Mud", "It sounds thick, as through a wall."),
    "nonfinite": ("Broken samples", "Some players click or fall silent."),
    "phase": (
        "Sides against each other",
        "On one loudspeaker the bass or a voice is gone; on two it has no place.",
    ),
    "rumble": ("Rumble", "Not heard, but loudspeakers work for it."),
    "shimmer": ("Flickering treble", "Cymbals, breath and air swirl and bubble."),
    "sibilance": ("Sharp s", "Each s of the voice hisses."),
    "start": ("Start", "It begins with a click, or late."),
    "tone": ("Dull tone", "The middle is held back."),
    "width": (
        "Narrow sound",
        "It comes from one point or one side, or it fades in mono.",
    ),
}


@dataclass(frozen=True)
class Amount:
    """The one setting of a stage that has a slider.

    Attributes:
        setting: its name.
        low: leftmost value.
        high: rightmost value.
        step: between two values.
        unit: shown after the value; ``"%"`` shows a share of 1 as per cent.
        label: what it is, in a word or two.
    """

    setting: str
    low: float
    high: float
    step: float
    unit: str = "%"
    label: str = "How much"

    def show(self, value: float | None) -> str:
        """Return a value with its unit.

        >>> Amount("amount", 0, 1, 0.05).show(0.5), Amount("t", -24, -8, 1, "LUFS").show(-14)
        ('50 %', '−14 LUFS')
        """
        if value is None:
            return "as it is"
        number = {"%": f"{100 * value:.0f}", "s": f"{value:.2f}"}.get(self.unit, f"{value:g}")
        return f"{number} {self.unit}".replace("-", "−")


AMOUNTS: Mapping[str, Amount] = {
    "declip": Amount("amount", 0.0, 1.0, 0.05),
    "declick": Amount("amount", 0.0, 1.0, 0.05),
    "decomb": Amount("amount", 0.0, 1.0, 0.05),
    "deshimmer": Amount("amount", 0.0, 1.0, 0.05),
    "demud": Amount("amount", 0.0, 1.0, 0.05),
    "deharsh": Amount("amount", 0.0, 1.0, 0.05),
    "deess": Amount("amount", 0.0, 1.0, 0.05),
    "match": Amount("amount", 0.0, 1.0, 0.05),
    "bandwidth": Amount("amount", 0.0, 2.0, 0.05),
    "transients": Amount("amount", 0.0, 2.0, 0.05),
    "stereo": Amount("amount", 0.0, 1.0, 0.05),
    "width": Amount("amount", 0.0, 2.0, 0.05),
    "ending": Amount("fade_out_seconds", 0.0, 5.0, 0.05, "s", "Fade-out"),
    "loudness": Amount("target_lufs", -24.0, -8.0, 0.5, "LUFS", "How loud"),
}


def choose(
    preset: str = RestoreOptions.preset, settings: Mapping[str, Any] | None = None
) -> RestoreOptions:
    """Return a preset, with where the visitor differs from what it would do.

    Args:
        preset: its name.
        settings: by name, ``{"width.mode": "off", "bandwidth.amount": 0.5}``. Who asks for the end
            to be mended says that the piece is no loop, unless they say that, too.

    Raises:
        ConfigError: a preset or stage that the page does not have, or a value out of range.
    """
    from nitido.restoration.preset import PICKED

    chosen = dict(settings or {})
    if preset not in (*PRESETS, *PICKED):
        raise ConfigError(f"There is no preset {preset!r} here; there are {', '.join(PRESETS)}.")
    for name in chosen:
        if name.partition(".")[0] not in STAGES:
            raise ConfigError(
                f"There is no setting {name!r} here; the stages are {', '.join(STAGES)}."
            )
    if chosen.get("ending.mode") == "on":
        chosen.setdefault("ending.loop", False)
    return RestoreOptions(preset, settings=chosen)


def shown(options: RestoreOptions) -> dict[str, Any]:
    """Return choices as plain JSON values, as `choose` takes them."""
    return {"preset": options.preset, "settings": dict(options.settings or {})}
