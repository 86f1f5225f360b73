"""A config's text, as mmengine writes it into checkpoints, read without running any of it."""

import ast
from collections.abc import Container
from typing import Any, Optional, Union

from vgg_mm.text import shortened

#: Longest text: that of a config which names 20,000 classes in each of three data sets.
MAX_LENGTH = 5_000_000

#: Numbers that are written as names.
NUMBER_NAMES = {'inf': float('inf'), 'nan': float('nan')}


def parse_config_text(text: Any, keys: Optional[Container[str]] = None) -> dict[str, Any]:
    """The values of the assignments in a config's text, as written by ``Config.pretty_text``.

    Values are literals, ``dict(a=...)``, ``dict({'a.b': ...})``, ``inf`` and ``nan``; the name of a
    class, ``torch.nn.ReLU``, is given as text.

    Args:
        text: The text.
        keys: The names whose values are read; None: all.

    Raises:
        ValueError: in one line, on anything else, with its line number.
    """
    if not isinstance(text, str):
        raise ValueError(f'it is a {type(text).__name__}, not text')
    if len(text) > MAX_LENGTH:
        raise ValueError(f'it has {len(text):,} characters, more than {MAX_LENGTH:,}')
    try:
        found = {}
        for statement in ast.parse(text).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    if keys is None or name in keys:
                        found[name] = plain_value(value)
                case _:
                    raise _refused(statement)
    except SyntaxError as error:
        raise ValueError(f'its line {error.lineno} is not Python: {error.msg}') from error
    except (RecursionError, MemoryError) as error:
        raise ValueError('it is nested too deeply') from error
    return found


def plain_value(node: ast.expr) -> Any:
    """The value of an expression, as in :func:`parse_config_text`; a ValueError if it is more."""
    match node:
        case ast.Call(ast.Name('dict'), [], words) if all(word.arg for word in words):  # not **x
            return {word.arg: plain_value(word.value) for word in words}
        case ast.Call(ast.Name('dict'), [ast.Dict() as inner], []):  # where keys are no names
            return plain_value(inner)
        case ast.Call():
            raise _refused(node)
        case ast.Dict() if None not in node.keys:  # {**x} has None for a key
            items = [(_literal(key), plain_value(v)) for key, v in zip(node.keys, node.values)]
            try:
                return dict(items)
            except TypeError:  # a key that cannot be hashed
                raise _refused(node) from None
        case ast.List():
            return [plain_value(item) for item in node.elts]
        case ast.Tuple():
            return tuple(plain_value(item) for item in node.elts)
        case ast.Name() | ast.Attribute():
            name = _dotted_name(node)
            return NUMBER_NAMES.get(name, name)
        case ast.UnaryOp() if ast.unparse(node) == '-inf':
            return -NUMBER_NAMES['inf']
    return _literal(node)


def _dotted_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f'{_dotted_name(node.value)}.{node.attr}'
    raise _refused(node)


def _literal(node: Any) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # TypeError: a set or a key that cannot be hashed
        raise _refused(node) from None


def _refused(node: Union[ast.expr, ast.stmt]) -> ValueError:
    found = shortened(' '.join(ast.unparse(node).split()), 60)
    return ValueError(f'its line {node.lineno} is more than a plain value: {found}')
