"""Signal processing that knows no file: waveforms, streams of them, spectra, meters."""
