"""TensorFlow 1 for scripts that need it, where TensorFlow 2 is installed: their `import tensorflow` gives them `tensorflow.compat.v1`.

Whether a script needs it is told by what it and the siblings that it imports say: one name that only TensorFlow 1 had is enough,
unless it stands where the script itself tells the versions apart. Nothing of TensorFlow is imported for that; when the script
imports it, and the TensorFlow that is installed lacks the name indeed, the behaviour of version 1 is switched on. Only the
script's own modules are given the other face: what is installed beside TensorFlow, Keras for one, must find it as it is.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from types import ModuleType
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .tensorflow_names import ONLY_IN_1

_TENSORFLOW = "tensorflow"
_V1 = "tensorflow.compat.v1"
# What brings Keras in when it is looked into, which is better done after the behaviour is chosen.
_OF_KERAS = ("losses.", "metrics.", "initializers.")
_VERSIONS = ("__version__", "VERSION")
_EXPECTED = ("ImportError", "ModuleNotFoundError", "AttributeError")

_NO_CONTRIB = (
    "tensorflow.contrib ended with TensorFlow 1, and no TensorFlow 2 has it: "
    "give the script an environment with TensorFlow 1.15, or use what took the place of this part of it"
)


class ContribNotImported(ImportError):
    """Some of `tensorflow.contrib` was to be imported."""

    is_final = True


class ContribNotFound(AttributeError):
    """Some of `tf.contrib` was looked up."""

    is_final = True


class Evidence(NamedTuple):
    """A name that only TensorFlow 1 had, and where it stands."""

    name: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line} uses tf.{self.name}"


def arrange(switch: str, script: str, folders: List[str]) -> None:
    """`auto` where there is evidence, `true` always, `false` never."""
    found = evidence(script, folders) if switch == "auto" else []
    if found or switch == "true":
        builtins.__import__ = _Importing(folders, found, builtins.__import__)  # type: ignore[assignment]  # it gives what the script asked for


def evidence(script: str, folders: List[str]) -> List[Evidence]:
    """The names that only TensorFlow 1 had, in the script and then in what it imports of these folders."""
    seen: Set[str] = set()
    coming = [script]
    found: List[Evidence] = []
    while coming:
        file = coming.pop(0)
        if file in seen:
            continue
        seen.add(file)
        try:
            with open(file, "rb") as source:
                tree = ast.parse(source.read(), file)
        except (OSError, SyntaxError, ValueError):
            continue  # if it is needed, importing it will say what is wrong
        found += evidence_in(tree, file)
        coming += _siblings(tree, file, folders)
    return found


def evidence_in(tree: ast.AST, file: str) -> List[Evidence]:
    """Those in one module, as they stand there, but for what it only does with the TensorFlow that has them."""
    bound: Dict[str, Set[str]] = {}
    found: List[Tuple[ast.AST, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _bind(bound, alias.asname or _TENSORFLOW, alias.name if alias.asname else _TENSORFLOW, alias.name)
                found.append((node, _below(alias.name)))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                _bind(bound, alias.asname or alias.name, whole, whole)
                found.append((node, _below(whole)))
    found += _used(tree, bound)
    chosen = _where_it_chooses(tree, bound)
    telling = {(node.lineno, first) for node, name in found if node not in chosen for first in [_first_in_1(name)] if first}  # type: ignore[attr-defined]
    return [Evidence(name, file, line) for line, name in sorted(telling)]


def _where_it_chooses(tree: ast.AST, bound: Mapping[str, Set[str]]) -> Set[ast.AST]:
    """What stands below a look at TensorFlow's version or names, or where their absence is expected."""
    names: Set[str] = set()

    def tells(test: ast.AST) -> bool:
        return any(_asks_for_version(node, bound) or (isinstance(node, ast.Name) and node.id in names) for node in ast.walk(test))

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and tells(node.value):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    found: Set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp)) and tells(node.test):
            found.update(ast.walk(node))
        elif isinstance(node, ast.Try) and any(_is_expected(handler.type) or _is_tried(node, handler) for handler in node.handlers):
            found.update(inner for part in (*node.body, *node.handlers) for inner in ast.walk(part))
    return found


def _asks_for_version(node: ast.AST, bound: Mapping[str, Set[str]]) -> bool:
    """`tf.__version__`, `tf.version.VERSION` or `hasattr(tf, ...)`."""
    of: Optional[ast.AST] = None
    if isinstance(node, ast.Attribute) and node.attr in _VERSIONS:
        of = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr") and node.args:
        of = node.args[0]
    while isinstance(of, ast.Attribute):
        of = of.value
    return isinstance(of, ast.Name) and of.id in bound


def _is_expected(caught: Optional[ast.AST]) -> bool:
    several = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(each, ast.Name) and each.id in _EXPECTED for each in several)


def _is_tried(node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """One thing, and it does not matter whether it works."""
    catches_all = handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException"))
    return catches_all and len(node.body) == 1 and all(isinstance(each, ast.Pass) for each in handler.body)


def _bind(bound: Dict[str, Set[str]], name: str, to: str, imported: str) -> None:
    if imported == _TENSORFLOW or imported.startswith(_TENSORFLOW + "."):
        bound.setdefault(name, set()).add(to)


def _used(tree: ast.AST, bound: Mapping[str, Set[str]]) -> Iterator[Tuple[ast.AST, str]]:
    """Whatever is looked up in what a name is bound to. One that may be bound to this or that takes care of itself."""
    chosen = {name: _below(next(iter(to))) for name, to in bound.items() if len(to) == 1 and not any(each.startswith(_V1) for each in to)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts, at = [node.attr], node.value
            while isinstance(at, ast.Attribute):
                parts.insert(0, at.attr)
                at = at.value
            if isinstance(at, ast.Name) and at.id in chosen:
                yield node, ".".join([*filter(None, [chosen[at.id]]), *parts])


def _below(name: str) -> str:
    """A dotted name without TensorFlow's own before it; nothing, if it is none of TensorFlow's."""
    return name[len(_TENSORFLOW) + 1 :] if name.startswith(_TENSORFLOW + ".") else ""


def _first_in_1(name: str) -> Optional[str]:
    """As much of a dotted name as tells that it is of TensorFlow 1."""
    parts = name.split(".")
    return next((first for end in range(1, len(parts) + 1) for first in [".".join(parts[:end])] if first in ONLY_IN_1), None)


def _siblings(tree: ast.AST, file: str, folders: Sequence[str]) -> Iterator[str]:
    """The files of these folders that a module may import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(alias.name, folders) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = os.path.dirname(file)
            for _ in range(node.level - 1):
                above = os.path.dirname(above)
            places = [above] if node.level else folders
            named = [(".".join(filter(None, [node.module, end])), places) for end in ("", *(alias.name for alias in node.names))]
        else:
            continue
        for name, places in named:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                for place in places:
                    path = os.path.join(place, *parts[:end])
                    yield from (each for each in (path + ".py", os.path.join(path, "__init__.py")) if os.path.isfile(each))


class _Importing:
    """Stands for the `import` statement: for the script's own modules TensorFlow is its face of version 1."""

    def __init__(self, folders: List[str], found: List[Evidence], original: Any) -> None:
        """Whether or not there is need, if nothing was `found`."""
        self._folders = tuple(os.path.join(folder, "") for folder in folders)
        self._found = sorted(found, key=lambda each: each.name.startswith(_OF_KERAS))
        self._import = original
        self._is_left = False
        self._v1: Optional[ModuleType] = None

    def __call__(
        self,
        name: str,
        globals: Optional[Mapping[str, Any]] = None,  # noqa: A002 - Python gives them by these names
        locals: Optional[Mapping[str, Any]] = None,  # noqa: A002 - as above
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if level or name.partition(".")[0] != _TENSORFLOW or not self._is_of_the_script(globals) or name.startswith(_V1):
            return self._import(name, globals, locals, fromlist, level)
        face = self._face()
        if face is None:
            return self._import(name, globals, locals, fromlist, level)
        if name == _TENSORFLOW:
            return self._import(_V1, globals, locals, fromlist, 0) if fromlist else face
        if _below(name).partition(".")[0] == "contrib":
            raise ContribNotImported(_NO_CONTRIB, name=name)
        within = _attribute(face, _below(name))
        if within is not None:
            return within if fromlist else face
        whole = self._import(name, globals, locals, fromlist, level)
        # `import tensorflow.python.x as y` goes from the top down, and version 1 has no such way.
        return whole if fromlist or not hasattr(face, _below(name).partition(".")[0]) else face

    def _is_of_the_script(self, importer: Optional[Mapping[str, Any]]) -> bool:
        return str((importer or {}).get("__file__") or "").startswith(self._folders)

    def _face(self) -> Optional[ModuleType]:
        """What the script gets, made at the first import; None where it is better off with what is installed."""
        if self._v1 is None and not self._is_left:
            self._import(_TENSORFLOW)
            tensorflow = sys.modules[_TENSORFLOW]
            version = str(getattr(tensorflow, "__version__", "2"))
            why = next((str(each) for each in self._found if not _has(tensorflow, each.name)), "" if self._found else "tensorflow_v1=True")
            if version.startswith(("0.", "1.")) or not why:
                self._is_left = True
                return None
            self._import(_V1)
            self._v1 = sys.modules[_V1]
            self._v1.disable_v2_behavior()
            if not hasattr(self._v1, "contrib"):
                self._v1.contrib = _Contrib()  # type: ignore[attr-defined]
            print(f"TensorFlow {version}: {why}, so the script gets tensorflow.compat.v1 as tensorflow", flush=True)
        return self._v1


class _Contrib:
    """What `tf.contrib` is now."""

    def __getattr__(self, name: str) -> Any:
        raise ContribNotFound(f"tf.contrib.{name}: {_NO_CONTRIB}")


def _has(top: Any, path: str) -> bool:
    """Whether this TensorFlow has the name after all: those before 2.16 have some that later ones lack."""
    try:
        for name in path.split("."):
            top = getattr(top, name)
    except Exception:  # what is loaded when it is looked into may fail in many ways
        return False
    return True


def _attribute(top: Any, path: str) -> Optional[Any]:
    """A module below the face, as far as it has one there."""
    for name in path.split("."):
        top = getattr(top, name, None)
        if top is None:
            return None
    return top if isinstance(top, ModuleType) or hasattr(top, "__path__") else None


__all__ = ["ContribNotFound", "ContribNotImported", "Evidence", "arrange", "evidence", "evidence_in"]
