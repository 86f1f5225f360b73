"""What a study will do: its conditions, and the page shown until it has been run."""

import shlex

from vgg_mm.apis.document import Block, Commands, Heading, Table, Text

from .. import statistics
from ..results import ResultsByData
from ..study import DataSet, Study
from ..verdicts import RULE
from ..words import seeds_words, side_words

#: For readers who do not know the study file.
WORDS = (
    "A, A-LRN, B, C, D and E are the nets of the paper's Table 1, with 11, 11, 13, 16, 16 and 19 "
    'weight layers; "D from A" takes its first four convolutional and its fully-connected layers '
    'from a trained A (Section 3.1), and "A from A" all of its layers: it is trained for as long '
    'as the nets that start from A. S is the shorter side in pixels to which images are scaled in '
    'training, drawn anew for each image where two numbers are given, as for every net that names '
    'no S; Q is that in testing. '
    'Dense evaluation averages the class scores over the whole image, multi-crop evaluation over '
    '50 crops (Section 3.2). An error is the share of test images whose first answer is wrong.'
)


def command(study: Study) -> str:
    """The command that runs the whole study."""
    words = ['python', 'studies/run.py', study.path, '--profile', study.profile]
    return shlex.join(words + (['--out', study.out] if study.out else []))


def conditions(study: Study, found: ResultsByData) -> list[Block]:
    """The conditions for any comparison, and whether they hold."""
    blocks: list[Block] = []
    for name, results in found.items():
        data = study.data[name]
        if data.learnt is None:
            continue
        side = data.learnt.side
        tested = results.tested(side, study.seeds)
        outcome = 'it has not been tested yet'
        if tested:
            error = statistics.error(results.wrong(side, tested)).value
            outcome = f'it errs on {error:.1f} %'
            if len(tested) < len(study.seeds):
                outcome += f' with {seeds_words(tested)}, and the others are not finished'
            elif error <= data.learnt.error:
                outcome += ', so that they are'
            else:
                outcome += ', so that nothing is judged there'
        text = f'On {data.title}, nets are compared if {_condition(study, data)}: {outcome}.'
        blocks.append(Text(text, item=True))
    return blocks


def _condition(study: Study, data: DataSet) -> str:
    side = side_words(study, data, data.learnt.side)
    return f'{side} errs on at most {data.learnt.error:g} %'


def planned(study: Study) -> list[Block]:
    """The page shown while there are no results."""
    rows = [
        [str(claim.number), claim.title, claim.section, ', '.join(
            data.title for data in study.data.values()
            if any(one.decides for one in study.comparisons(claim, data.name))
        )]
        for claim in study.claims
    ]  # fmt: skip
    return [
        Heading(1, study.title),
        Text(
            'This study has not been run yet. Below is what will be checked and how; the verdicts '
            'will be here when its nets are trained.'
        ),
        *([Text(study.earlier)] if study.earlier else []),
        Heading(2, 'What will be checked'),
        Table(('no.', 'claim', 'paper', 'on'), rows),
        Text(WORDS),
        Heading(2, 'What will be trained'),
        Text(f'Profile `{study.profile}`: {study.about}.'),
        *(Text(_trainings(study, data), item=True) for data in study.data.values()),
        Heading(2, 'The rule'),
        *(Text(text, item=True) for text in RULE),
        Heading(2, 'Commands'),
        *([Text(study.hours)] if study.hours else []),
        Text('How many hours it takes on your machine, from a few measured steps; then all of it:'),
        Commands([f'{command(study)} --dry-run', command(study)]),
    ]


def _trainings(study: Study, data: DataSet) -> str:
    runs = study.runs_on(data.name)
    epochs = data.options.get('train_cfg.max_epochs')
    each = f', {epochs} epochs each' if epochs else ''
    fewer = {data.epochs(study.runs[run]) for run in runs if study.runs[run].brief} - {epochs}
    if fewer:
        each += f' ({fewer.pop()} for those of which nothing is asked but whether they learn)'
    condition = f' Nothing is compared unless {_condition(study, data)}.' if data.learnt else ''
    start = "fine-tuned from the authors' convolutions" if data.fine_tuned else 'from scratch'
    return (
        f'{data.title}: {len(runs)} nets with {len(study.seeds)} seeds{each}, {start}, crops of '
        f'{data.crop} pixels, {data.width} channels in the first block (64 in the paper).'
        f'{condition}'
    )
