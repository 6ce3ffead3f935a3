"""Music taken apart into drums, bass, other and vocals, by Demucs (extra ``[demucs]``).

checkpoint  which model, from where, and what its files may name
separator   one loaded model: stems of a stream, segment by segment
stems       the same for a piece of any sample rate, mono or stereo
"""
