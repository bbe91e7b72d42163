"""YAML 1.2, which Azure ML's SDK writes and reads. PyYAML knows 1.1, where `on` is true and `12:30:45` is 45045.

What is written means the same in both versions: text that either would take for something else is quoted. PyYAML is imported
with this module, so importers import it where they need it.
"""

import re

import yaml

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
# Of each tag: what it looks like, and its first characters, in the order in which they are tried.
_TAGS = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    _INT: (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    _FLOAT: (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - as PyYAML has it


class _Dumper(yaml.SafeDumper):
    pass


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _tag, (_pattern, _first) in _TAGS.items():
    for _end in (_Loader, _Dumper):
        _end.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor(_INT, _whole)


def load(text: str) -> object:
    """What a text says; nothing but plain values comes of it."""
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def dump(value: object, *, allow_unicode: bool) -> str:
    """A value as text, in the order in which it is given."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode)
    return text
