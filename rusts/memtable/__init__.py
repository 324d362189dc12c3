"""The memtable: points that are in the log (or were only promised memory) and not yet in a segment."""
