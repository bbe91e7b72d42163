"""A row for each item, which says in which partition it was: of files their names, of tables their first column."""

import os


def run(mini_batch, mini_batch_context):
    keys = " ".join(f"{name}={value}" for name, value in mini_batch_context.partition_key_value.items())
    items = [os.path.basename(path) for path in mini_batch] if isinstance(mini_batch, list) else mini_batch.iloc[:, 0].tolist()
    return [f"{keys} {len(items)}: {item}" for item in items]
