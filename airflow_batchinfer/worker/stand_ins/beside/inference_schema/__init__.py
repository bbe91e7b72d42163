"""What decorates `run` in scripts of a web service: samples of what it takes and gives."""
