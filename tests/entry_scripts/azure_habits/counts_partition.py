"""Takes the context by its name and with a default, and returns one row for each file of a partition."""

import os


def run(mini_batch, mini_batch_context=None):
    pond = mini_batch_context.partition_key_value["pond"]
    assert mini_batch_context.dataset is None
    return [f"{pond} has {len(mini_batch)}: {os.path.basename(path)}" for path in sorted(mini_batch)]
