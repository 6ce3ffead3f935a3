"""A ComfyUI node that restores AI-generated music with nitido.

ComfyUI loads this folder from its `custom_nodes/` and reads `NODE_CLASS_MAPPINGS`. AUDIO is
``{"waveform": tensor [B, C, T], "sample_rate": Hz}``, IMAGE a tensor `[B, H, W, 3]` from 0 to 1.

Source: docs.comfy.org, custom nodes: "Properties" and "Datatypes".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

import nitido
from nitido.restoration.preset import AUTO, PICKED, load_preset, preset_names

LOUDNESS = ("as the preset has it", "as it is", "-9", "-11", "-14", "-16", "-18", "-23")
STRENGTHS = {  # sliders, each times the amount that the preset has: its stage, most, what it does
    "comb": ("decomb", 1.0, "How much of the metallic lines goes."),
    "treble": ("bandwidth", 2.0, "How much treble comes back above the ceiling."),
    "width": ("width", 2.0, "How wide mono becomes."),
}


class NitidoRestore:
    """The node: AUDIO in; restored AUDIO, removed AUDIO, report IMAGE and sentences STRING out."""

    CATEGORY = "audio"
    DESCRIPTION = (
        "Finds what a music generator's decoder did to the sound, repairs that and nothing else, "
        "and shows the proof."
    )
    FUNCTION = "restore"
    RETURN_TYPES = ("AUDIO", "AUDIO", "IMAGE", "STRING")
    RETURN_NAMES = ("restored", "removed", "report", "sentences")
    OUTPUT_TOOLTIPS = (
        "The piece, repaired, at 48 kHz.",
        "What was taken away, at the same gain; what was added is in it upside down.",
        "Before and after: spectrograms, average spectrum, what was found and done.",
        "What is better, what is left, and why.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        """Return the inputs as ComfyUI shows them."""
        sliders = {
            name: (
                "FLOAT",
                {"default": 1.0, "min": 0.0, "max": most, "step": 0.05, "tooltip": what},
            )
            for name, (_, most, what) in STRENGTHS.items()
        }
        presets = {"default": AUTO, "tooltip": "demucs and stems: pip install nitido[demucs]"}
        return {
            "required": {
                "audio": ("AUDIO",),
                "preset": ([AUTO, *preset_names()], presets),
                **sliders,
                "loudness": (list(LOUDNESS), {"default": LOUDNESS[0], "tooltip": "Target, LUFS."}),
                "loop": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "After the end comes the start."},
                ),
            }
        }

    def restore(
        self,
        audio: dict[str, Any],
        preset: str,
        comb: float = 1.0,
        treble: float = 1.0,
        width: float = 1.0,
        loudness: str = LOUDNESS[0],
        loop: bool = False,
    ) -> tuple[dict[str, Any], dict[str, Any], torch.Tensor, str]:
        """Restore each piece of a batch.

        Args:
            audio: waveform `[B, C, T]` and its rate.
            preset: name of a preset.
            comb: strength of `decomb`, times that of the preset.
            treble: strength of `bandwidth`, likewise.
            width: strength of `width`, likewise.
            loudness: target, LUFS; or one of the first two of `LOUDNESS`.
            loop: whether the piece is a loop.

        Raises:
            NitidoError: one sentence, which ComfyUI shows.
        """
        strengths = {"comb": comb, "treble": treble, "width": width}
        settings = settings_for(preset, strengths, loudness, loop=loop)
        pieces = np.asarray(audio["waveform"].detach().cpu().float())
        on_progress = progress(len(pieces))
        results = []
        for number, wav in enumerate(pieces):
            with nitido.restore(
                wav,
                sample_rate=int(audio["sample_rate"]),
                preset=preset,
                settings=settings,
                name="Audio" if len(pieces) == 1 else f"Audio {number + 1}",
                on_progress=on_progress(number),
            ) as one:
                sentences = "\n".join(one.sentences())
                results.append((one.wav, one.removed, picture(one), sentences, one.sample_rate))
        restored, removed, pictures, sentences, rates = zip(*results, strict=True)
        return (
            {"waveform": stacked(restored), "sample_rate": rates[0]},
            {"waveform": stacked(removed), "sample_rate": rates[0]},
            torch.from_numpy(np.stack(pictures)),
            "\n\n".join(sentences),
        )


def settings_for(
    preset: str, strengths: dict[str, float], loudness: str, *, loop: bool
) -> dict[str, Any]:
    """Return the settings in which the widgets differ from the preset."""
    stages = load_preset(PICKED[0] if preset == AUTO else preset).stages  # theirs are the same
    settings: dict[str, Any] = {
        f"{STRENGTHS[name][0]}.amount": times * stages[STRENGTHS[name][0]].settings["amount"]
        for name, times in strengths.items()
        if times != 1.0
    }
    if loudness != LOUDNESS[0]:
        target = None if loudness == LOUDNESS[1] else float(loudness)
        settings["loudness.target_lufs"] = target
    return {**settings, "ending.loop": True} if loop else settings


def picture(restoration: nitido.Restoration) -> np.ndarray[Any, Any]:
    """Return the figure of a restoration, `[H, W, 3]`, 0 to 1."""
    canvas = FigureCanvasAgg(restoration.plot())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(np.float32) / 255


def stacked(wavs: Sequence[np.ndarray[Any, Any]]) -> torch.Tensor:
    """Return waveforms `[C, T]` as one `[B, C, T]`; mono beside stereo is on both sides."""
    channels = max(len(wav) for wav in wavs)
    return torch.from_numpy(
        np.stack([wav if len(wav) == channels else np.repeat(wav, channels, 0) for wav in wavs])
    )


def progress(pieces: int) -> Callable[[int], Callable[[float, float], None] | None]:
    """Return, for the number of a piece, what shows its progress; ComfyUI's bar also cancels."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:  # not inside ComfyUI
        return lambda _: None
    bar = ProgressBar(100 * pieces)

    def of(number: int) -> Callable[[float, float], None]:
        return lambda done, total: bar.update_absolute(round(100 * (number + done / total)))

    return of


NODE_CLASS_MAPPINGS = {"NitidoRestore": NitidoRestore}
NODE_DISPLAY_NAME_MAPPINGS = {"NitidoRestore": "Restore AI music (nitido)"}
