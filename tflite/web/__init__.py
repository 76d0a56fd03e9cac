"""A page that runs a bundle in a browser by LiteRT.js, and the server that phones open it from."""
