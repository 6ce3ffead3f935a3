"""Tiny random MusicGen checkpoints in the real format: 2 MB, a second of sound in 0.2 s.

They have every part of the real ones: a T5 with its tokenizer, a decoder over four codebooks of
2048 at 50 Hz, and an EnCodec at 32 kHz with the strides 8, 5, 4, 4. What they make is noise, but
noise with the decoder's comb in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "a an and the with of slow fast sad happy loud soft 80s 90s pop rock jazz techno song tune "
    "piece heavy synth bass bassline drums piano guitar violin groovy punchy warm melody"
)
PROMPT_TOKENS_MAX = 32
CODEBOOKS = 4
CODEBOOK_SIZE = 2048


def save_musicgen(
    folder: Path, *, stereo: bool = False, melody: bool = False, licence: str | None = None
) -> Path:
    """Save a random checkpoint as `save_pretrained` does, and return its folder."""
    import torch
    import transformers as tf

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        model = _melody_model(tf) if melody else _model(tf, audio_channels=2 if stereo else 1)
        _make_it_sound(model.audio_encoder, torch)
        _make_it_vary(model.decoder, torch)
    pad = CODEBOOK_SIZE
    model.generation_config = tf.GenerationConfig(
        bos_token_id=pad, pad_token_id=pad, decoder_start_token_id=pad,
        do_sample=True, guidance_scale=3.0, max_length=1500,
    )  # fmt: skip
    model.save_pretrained(folder)
    _tokenizer(tf).save_pretrained(folder)
    if licence is not None:
        card = f"---\nlicense: {licence}\ntags: [musicgen]\n---\n# A tiny MusicGen\n"
        (folder / "README.md").write_text(card, "utf-8")
    return folder


def _tokenizer(tf: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<pad>", "</s>", "<unk>", *WORDS.split()]
    words = {name: index for index, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=PROMPT_TOKENS_MAX,
    )


def _text_config(tf: Any) -> Any:
    return tf.T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.0
    )


def _codec_config(tf: Any) -> Any:
    return tf.EncodecConfig(
        sampling_rate=32_000,
        audio_channels=1,
        target_bandwidths=[2.2],
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=CODEBOOK_SIZE,
        hidden_size=16,
        codebook_dim=16,
        num_filters=2,
        use_causal_conv=False,
        normalize=False,
    )


def _decoder_settings(audio_channels: int) -> dict[str, Any]:
    return {
        "vocab_size": CODEBOOK_SIZE,
        "num_codebooks": CODEBOOKS * audio_channels,
        "audio_channels": audio_channels,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "dropout": 0.0,
        "pad_token_id": CODEBOOK_SIZE,
        "bos_token_id": CODEBOOK_SIZE,
    }


def _model(tf: Any, *, audio_channels: int) -> Any:
    config = tf.MusicgenConfig(
        text_encoder=_text_config(tf).to_dict(),
        audio_encoder=_codec_config(tf).to_dict(),
        decoder=_decoder_settings(audio_channels),
    )
    return tf.MusicgenForConditionalGeneration(config)


def _melody_model(tf: Any) -> Any:
    config = tf.MusicgenMelodyConfig(
        text_encoder=_text_config(tf).to_dict(),
        audio_encoder=_codec_config(tf).to_dict(),
        decoder=_decoder_settings(1),
    )
    return tf.MusicgenMelodyForConditionalGeneration(config)


def _make_it_sound(codec: Any, torch: Any) -> None:
    """Make a decoder that interpolates, as a trained one does, with small errors: its comb.

    With weights that are random altogether the comb would drown all else. The sound is brought to
    about −18 dBFS.
    """
    upsampling, plain = torch.nn.ConvTranspose1d, torch.nn.Conv1d
    layers = [m for m in codec.decoder.modules() if isinstance(m, upsampling | plain)]
    codes = torch.randint(CODEBOOK_SIZE, (1, 1, CODEBOOKS, 100))
    with torch.no_grad():
        for quantiser in codec.quantizer.layers:  # they start empty
            quantiser.codebook.embed.normal_().mul_(10)
        for layer in layers:
            layer.bias *= 0.05
            if isinstance(layer, upsampling):
                weight = layer.parametrizations.weight.original1
                taps = torch.linspace(-1, 1, weight.shape[2] + 2)[1:-1]
                mix = torch.randn(*weight.shape[:2], 1)
                weight.copy_(mix * (1 - taps.abs()) + 0.002 * torch.randn_like(weight))
        sound = codec.decode(codes, [None]).audio_values
        gain = 0.125 / sound.std()
        layers[-1].parametrizations.weight.original0 *= gain
        layers[-1].bias += -gain * (sound.mean() - layers[-1].bias) - layers[-1].bias


def _make_it_vary(decoder: Any, torch: Any) -> None:
    """Make the predictions depend on prompt and past, as far as random weights can."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter *= 6
