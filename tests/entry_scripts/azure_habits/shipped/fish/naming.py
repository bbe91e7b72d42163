"""A module in a package that the script brings."""


def plural(name):
    return name if name.endswith("fish") else f"{name}s"
