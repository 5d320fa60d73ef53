"""Who takes part: one file each, all behind the interface of `_rival`."""
