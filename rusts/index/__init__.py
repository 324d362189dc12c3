"""The tag index: series by key, tags as codes, tag values as roaring bitmaps. Kept in memory, derived at start."""
