"""Returns no row for any mini-batch, and means it."""


def run(mini_batch):
    return []
