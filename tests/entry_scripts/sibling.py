"""What uses_sibling.py imports."""


def greet(name, lines):
    return f"{name}: greeted by a sibling of {lines} lines"
