"""Text to music: MusicGen, through transformers; needs the extra ``generate``.

Request ─► musicgen ─► sampling ─► longform ─► Generation ─► run folder
           network     codes       waveform    wav, tags     raw/ … run.json
"""
