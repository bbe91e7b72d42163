"""Parameter types, each in a module of its own, as the original has them."""
