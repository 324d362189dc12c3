"""Console commands: the server, the importer, and what operators run beside them."""
