"""One node's storage: the room that knows log, memtable, segments, index and catalog, and makes a Store of them."""
