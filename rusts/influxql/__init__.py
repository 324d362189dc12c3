"""InfluxQL: text in, statements out, and what runs them."""
