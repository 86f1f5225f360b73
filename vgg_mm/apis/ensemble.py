"""``tools/ensemble.py``: the errors of several nets and of their average (Section 4.4, Table 6)."""

import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

from vgg_mm.evaluation import TestRecord, add_records
from vgg_mm.evaluation.ensemble import Member, ensembles
from vgg_mm.installation import argument, command_line

from .config import find_config, read_config
from .tables import format_table, record_cells, say
from .test_results import CENTRE_CROP

#: Keys of a recipe's members.
MEMBER_KEYS = ('config', 'protocol')


class Recipe(NamedTuple):
    """The content of a config file in ``configs/ensembles``."""

    members: list[dict]
    weights: Optional[Sequence[float]] = None
    name: Optional[str] = None


def report(
    files: Sequence[Union[str, os.PathLike]] = (),
    weights: Optional[Sequence[float]] = None,
    protocol: Optional[str] = None,
    recipe: Optional[str] = None,
    results: str = 'work_dirs',
    out: Optional[str] = None,
    work_dir: Optional[str] = None,
) -> None:
    """Print the errors of each member and of the ensemble, for each protocol.

    Args:
        files: Files of posteriors, ``FILE`` or ``FILE:PROTOCOL``.
        weights: One for each file, positive; None: the recipe's, or equal ones.
        protocol: Protocol of the files that do not name theirs; None: every one in common.
        recipe: Config file that lists the members, instead of ``files``.
        results: A recipe's members are in ``RESULTS/CONFIG_NAME/posteriors.npz``.
        out: File for the ensembles' posteriors.
        work_dir: Folder to whose ``test_results.jsonl`` the ensembles are added.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: in one line, if files are incompatible or arguments are invalid.
    """
    if recipe is not None and files:
        raise ValueError(f'ensemble: give files or {argument("recipe")}, not both')
    content = None if recipe is None else load_recipe(recipe)
    if content is None:
        members = [_parse_member(os.fspath(file)) for file in files]
    else:
        members = _recipe_files(content, results)
        weights = weights or content.weights
    if protocol is not None:
        if members and all(member.protocol for member in members):
            raise ValueError(
                f'{argument("protocol", protocol)} has no effect: every file names its own'
            )
        members = [Member(path, own or protocol) for path, own in members]
    if out is not None and os.path.realpath(out) in {os.path.realpath(m.path) for m in members}:
        raise ValueError(f'{argument("out", out)} is one of the files to average')
    found = ensembles(members, weights, content and content.name)
    say(_table([record for one in found for record in (*one.members, one.record)]))
    if out is not None:
        scores = {k: v for one in found for k, v in one.posteriors.scores.items()}
        found[0].posteriors._replace(scores=scores).save(out)
    if work_dir is not None:
        add_records(work_dir, [one.record for one in found])


def _parse_member(text: str) -> Member:
    """``FILE`` or ``FILE:PROTOCOL``; colons may occur in a path."""
    path, _, protocol = text.rpartition(':')
    if os.path.exists(text) or not (path and protocol) or os.path.basename(protocol) != protocol:
        return Member(text)
    return Member(path, protocol)


def _table(records: Sequence[TestRecord]) -> str:
    top_k = list(records[0].wrong)
    rows = [record_cells(record, top_k) for record in records]
    headers = ['net', 'S', 'Q', 'protocol', *(f'top-{k} error, %' for k in top_k)]
    return format_table(headers, rows)


def load_recipe(path: str) -> Recipe:
    """Read a recipe, a file or the name of one that comes with the package.

    It has ``members``, a list of ``dict(config=NAME[, protocol=NAME])``.

    Optional: ``weights``, one for each member, and ``name``, that of the ensemble.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if it is no recipe.
    """
    path = find_config(path, 'recipe')
    content = read_config(path).to_dict()
    members = content.get('members')
    if not isinstance(members, list) or not members:
        raise ValueError(f'{path}: a recipe needs members = [dict(config=NAME), ...]')
    _check_keys(path, content, Recipe._fields)
    for member in members:
        if not isinstance(member, dict) or not isinstance(member.get('config'), str):
            raise ValueError(f'{path}: a member is dict(config=NAME, protocol=NAME), got {member}')
        _check_keys(path, member, MEMBER_KEYS)
    return Recipe(**content)


def _check_keys(path: str, content: dict, known: Sequence[str]) -> None:
    if unknown := set(content).difference(known):
        raise ValueError(f'{path}: unknown {min(unknown)!r}; available: {", ".join(sorted(known))}')


def _recipe_files(recipe: Recipe, results: str) -> list[Member]:
    """Where the members' posteriors are; if some are missing, print the commands for them."""
    protocols: dict[str, set] = {}
    for member in recipe.members:
        protocols.setdefault(member['config'], set()).add(member.get('protocol'))
    files = {config: os.path.join(results, config, 'posteriors.npz') for config in protocols}
    missing = [config for config, file in files.items() if not os.path.isfile(file)]
    commands = [_command(config, results, files[config], protocols[config]) for config in missing]
    if missing:
        say('\n'.join(commands))
        more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
        raise FileNotFoundError(
            f'posteriors not found: {files[missing[0]]}{more}; they come from: {commands[0]}'
        )
    return [Member(files[m['config']], m.get('protocol')) for m in recipe.members]


def _command(config: str, results: str, out: str, protocols: set) -> str:
    """The command that writes a member's posteriors."""
    only = protocols.pop() if len(protocols) == 1 else None
    # The files in configs/_base_/tta are named after the protocols.
    tta = [] if only == CENTRE_CROP else ['--tta', '--tta-cfg', (only or 'all').replace('+', '_')]
    run = os.path.join(results, config)
    return command_line('test', shlex.join([config, run, *tta, '--out', out]))
