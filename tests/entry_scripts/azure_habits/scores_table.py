"""Gets rows of a table as a frame, adds a column, and returns the frame."""


def init():
    global limit
    limit = 2.5


def run(mini_batch):
    mini_batch["alarm"] = mini_batch["height"] > limit
    return mini_batch
