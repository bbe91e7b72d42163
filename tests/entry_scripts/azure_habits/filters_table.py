"""Returns only the rows that are of interest."""


def run(mini_batch):
    return mini_batch[mini_batch["height"] > 2]
