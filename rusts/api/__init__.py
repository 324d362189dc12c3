"""The HTTP server: routes, the dialects of InfluxDB 1.x, 2.x and 3, and the way of a body to the store."""
