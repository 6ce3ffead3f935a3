"""The presets that come with nitido: TOML files, read by `nitido.restoration.preset`."""
