"""CLAP, a ready embedding for `nitido.metrics.perceptual`: 512 numbers that say what a sound is.

By transformers; the weights are LAION's, Apache-2.0, 600 MB, downloaded at the first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.audio import resample
from nitido.chunks import join
from nitido.errors import NitidoError
from nitido.optional import load
from nitido.wav import Wav

SAMPLE_RATE = 48_000
WINDOW_SECONDS = 10.0  # what the model was trained on
MODEL = "laion/clap-htsat-unfused"
_REMEDY = "pip install 'nitido[generate]'"


class Clap:
    """The audio side of a CLAP model; call it with a waveform.

    Example:
        `embedding_distances(estimates=…, references=…, sample_rate=48000, embed=Clap())`
    """

    def __init__(
        self, model: str = MODEL, *, hop_seconds: float = 5.0, device: str = "cpu"
    ) -> None:
        """Load the model.

        Args:
            model: name at Hugging Face, or a folder.
            hop_seconds: from one stretch of 10 s to the next.
            device: where torch computes.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            NitidoError: the weights are not here and cannot be fetched.
        """
        self._torch = load("torch", remedy=_REMEDY)
        transformers = load("transformers", remedy=_REMEDY)
        try:
            self._features = transformers.ClapFeatureExtractor.from_pretrained(model)
            self._model = transformers.ClapModel.from_pretrained(model).to(device).eval()
        except OSError as error:
            raise NitidoError(
                f"The weights of {model} are not on this computer and cannot be fetched; go online "
                "once, or give the folder that holds them: Clap('folder')."
            ) from error
        self._hop_samples = round(hop_seconds * SAMPLE_RATE)
        self._device = device

    def __call__(self, wav: Wav, sample_rate: int) -> NDArray[np.float32]:
        """Return one embedding per stretch of 10 s, `[N, 512]`; a shorter piece is one stretch."""
        mono = wav.mean(axis=0, keepdims=True, dtype=np.float32)
        blocks = resample(
            [mono], from_hz=sample_rate, to_hz=SAMPLE_RATE, samples=mono.shape[1], channels=1
        )
        sound = join(blocks, channels=1)[0]
        size = round(WINDOW_SECONDS * SAMPLE_RATE)
        last = max(1, sound.size - size + 1)
        return np.concatenate(
            [self._embed(sound[at : at + size]) for at in range(0, last, self._hop_samples)]
        )

    def _embed(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = self._features(sound, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with self._torch.no_grad():
            found: Any = self._model.get_audio_features(**inputs.to(self._device))
        found = getattr(found, "pooler_output", found)  # a bare tensor before transformers 5
        return np.asarray(found.cpu().numpy(), np.float32)
