"""Tables: how their files are cut into slices, and which columns they have. Reads content, which `datasets` never does."""
