"""Who asks, and what may they do: passwords, tokens, the forms in which clients send them, and what is remembered."""
