"""The write-ahead log: every acknowledged write, in order, until segments hold it. `FORMAT.md` gives the bytes."""
