"""What the page says about each benchmark, from the content of its JSON file."""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import goals
import memory as memory_course
import page_plots as plots
from goals import Goal
from jitter import DECODING, MMPRETRAIN, REGIONS, speed
from start_up import OURS, PEER
from test_protocols import NAMES
from timing import ratios, spread

from vgg_mm.apis.document import Block, Heading, Plot, Table

GIB = 2**30

#: Keys that describe the machine of a measurement; the others in ``machine`` are versions.
SETTINGS = ('cpu', 'device', 'cores', 'threads', 'load', 'python', 'torch', 'amp', 'net')


class Outcome(NamedTuple):
    """A figure that has a goal; with several repetitions, the median counts."""

    what: str
    goal: Goal
    values: Sequence[float]

    def figure(self) -> str:
        if len(self.values) == 1:
            return f'{self.values[0]:.3g}'
        return spread(self.values, '.3g')

    def verdict(self) -> str:
        return self.goal.verdict(statistics.median(self.values))


class Part(NamedTuple):
    """A benchmark's part of the page."""

    machine: str
    outcomes: list[Outcome]
    blocks: list[Block]


def machine_of(found: Mapping) -> str:
    """The machine of a measurement, as far as the file names it."""
    said = {**found, **found.get('machine', {})}
    known = [f'{key} {said[key]}' for key in SETTINGS if key in said]
    known += [f'{key} {v}' for key, v in found.get('machine', {}).items() if key not in SETTINGS]
    return f'Measured on: {", ".join(known)}.' if known else ''


def jitter(found: dict) -> Part:
    blocks: list[Block] = []
    outcomes, rates = [], {}
    for name, wanted in goals.JITTER.items():
        times = found[name]['seconds_per_image']
        rates[name] = {kind: [1 / one for one in t['cpu']] for kind, t in times.items()}
        rows = [
            [kind, f'{statistics.median(rates[name][kind]):.0f}',
             *(spread(speed(times, kind, peer)) for peer in (MMPRETRAIN, DECODING))]
            for kind in times
        ]  # fmt: skip
        headers = ['pipeline', 'img/s', 'times MMPretrain', 'times decoding alone']
        blocks += [Heading(3, name), Table(headers, rows)]
        outcomes += [
            Outcome(f'{name}: {REGIONS}, against {peer}', goal, speed(times, REGIONS, peer))
            for peer, goal in wanted.items()
        ]
    caption = 'Images a second of one core, by its CPU time.'
    blocks.append(Plot('jitter', caption, partial(plots.spans, rates, 'images a second')))
    return Part(machine_of(found), outcomes, blocks)


def model_speed(found: dict) -> Part:
    rows, memories, panels, outcomes = [], [], {}, []
    for key, one in found.items():
        for kind, times in one.get('seconds', {}).items():
            faster = ratios(times[PEER], times[OURS])
            medians = (f'{statistics.median(times[name]):.2f}' for name in (PEER, OURS))
            rows.append([key, kind, *medians, spread(faster)])
            panels[f'{key}: {kind}'] = times
            goal = goals.MODEL_SPEED[kind]['bfloat16' in key]
            outcomes.append(Outcome(f'{key}: {kind}, times as fast', goal, faster))
        memory = one.get('memory', {})
        for name, used in memory.items():
            memories.append([key, name, f'{statistics.median(used) / GIB:.2f}'])
        outcomes += [
            Outcome(f'{key}: {name}, against {PEER}', goal, ratios(memory[name], memory[PEER]))
            for name, goal in goals.MODEL_MEMORY.items()
            if name in memory
        ]
    blocks: list[Block] = []
    if rows:
        titles = ['setting', 'what', f'{PEER}, s', f'{OURS}, s', 'times as fast']
        caption = 'Seconds of an iteration or of the inference of a batch.'
        draw = partial(plots.spans, panels, 'seconds')
        blocks += [Table(titles, rows), Plot('model_speed', caption, draw)]
    if memories:
        blocks.append(Table(['setting', 'net', 'peak memory, GiB'], memories))
    return Part(machine_of(next(iter(found.values()))), outcomes, blocks)


def test_protocols(found: dict) -> Part:
    seconds = {key: [batch['seconds'][key] for batch in found['batches']] for key in NAMES}
    times = {key: ratios(seconds['a'], spent) for key, spent in seconds.items()}
    parts = [d / (b + c) for b, c, d in zip(*(seconds[key] for key in 'bcd'))]
    peak = found.get('peak_memory', {})
    rows = [
        [
            f'({key}) {name}',
            f'{statistics.median(seconds[key]):.2f}',
            spread(times[key]),
            f'{statistics.mean(b["loader_bytes"][key] for b in found["batches"]) / 1e6:.1f}',
            f'{peak[key] / GIB:.2f}' if key in peak else '',
        ]
        for key, name in NAMES.items()
    ]
    photos = sum(len(batch['photos']) for batch in found['batches'])
    headers = [f'{photos} photos', 's a photo', 'times (a)', 'MB leave the loader',
               'peak memory, GiB']  # fmt: skip
    named = {f'({key}) {name}': seconds[key] for key, name in NAMES.items()}
    caption = 'Seconds a photo, from file to posteriors; bars: batches.'
    draw = partial(plots.spans, {'test protocols': named}, 'seconds a photo')
    wanted = goals.TEST_PROTOCOLS_AMP if found['amp'] else goals.TEST_PROTOCOLS
    outcomes = [
        Outcome('time of (d) against (b) + (c)', goal, parts)
        if key == 'd'
        else Outcome(f'({key}) times as fast as (a)', goal, times[key])
        for key, goal in wanted.items()
    ]
    plot = Plot('test_protocols' + '_amp' * found['amp'], caption, draw)
    return Part(machine_of(found), outcomes, [Table(headers, rows), plot])


test_protocols.__test__ = False  # not a test case, in spite of its name


def conv_head(found: dict) -> Part:
    rows, panels = [], {}
    for scale, times in found['dense_seconds'].items():
        panels[f'fc6 at Q = {scale}'] = {k: [1e3 * one for one in v] for k, v in times.items()}
        medians = (f'{1e3 * statistics.median(v):.0f}' for v in times.values())
        rows.append([scale, *medians, spread(ratios(times['conv2d'], times['ConvHead']))])
    headers = ['Q', 'ConvHead, ms', 'conv2d, ms', 'times as fast']
    head = [[name, f'{one:.3f}'] for name, one in found['medians'].items()]
    head.append(['ratio', spread(ratios(found['seconds']['ConvHead'], found['seconds']['plain']))])
    title = f'The head at a crop of 224, batch {found["batch"]}, forward and backward'
    draw = partial(plots.spans, panels, 'ms')
    return Part(
        machine_of(found), [],
        [Table(headers, rows), Plot('conv_head', 'Milliseconds of fc6, forward.', draw),
         Heading(3, title), Table(['layers', 'seconds'], head)],
    )  # fmt: skip


def guards(found: dict) -> Part:
    median, quartiles = found['median_ms'], found['quartiles_ms']
    share = found['inside_guards_ms'] / median['off']
    rows = [
        [name, str(found['iterations'][name]), *(f'{q:.0f}' for q in quartiles[name])]
        for name in median
    ]
    headers = ['guards', 'iterations', 'lower quartile, ms', 'median, ms', 'upper quartile, ms']
    caption = 'Iterations with and without guards: the median and the quartiles.'
    draw = partial(plots.spans, {found['config']: quartiles}, 'ms of an iteration')
    outcome = Outcome('share of an iteration inside the guards', goals.GUARDS, [share])
    return Part(machine_of(found), [outcome], [Table(headers, rows), Plot('guards', caption, draw)])


def start_up(found: dict) -> Part:
    rows, panels, outcomes = [], {}, []
    for kind, times in found['seconds'].items():
        cpu, wall = ({n: times[n][clock] for n in (PEER, OURS)} for clock in ('cpu', 'wall'))
        panels[kind] = cpu
        against = ratios(cpu[OURS], cpu[PEER])
        rows.append(
            [kind, *(f'{statistics.median(cpu[n]):.2f}' for n in (PEER, OURS)),
             spread(against, '.3f'), spread(ratios(wall[OURS], wall[PEER]), '.3f')]
        )  # fmt: skip
        outcomes.append(Outcome(f'{kind}: CPU time', goals.START_UP[kind], against))
    headers = ['what', f'{PEER}, s', f'{OURS}, s', 'ratio of CPU time', 'of wall time']
    caption = 'CPU time of fresh processes.'
    draw = partial(plots.spans, panels, 'seconds')
    return Part(
        machine_of(found), outcomes, [Table(headers, rows), Plot('start_up', caption, draw)]
    )


def growth(found: dict) -> Part:
    rows, outcomes = [], []
    for name, curve in found['curves'].items():
        low, high = curve['exponent_spread']
        rows.append(
            [
                name,
                f'{curve["over"]} {curve["x"][0]} to {curve["x"][-1]}',
                ' to '.join(f'{statistics.median(curve["seconds"][i]):.2f}' for i in (0, -1)),
                f'{curve["exponent"]:.2f} ({low:.2f} to {high:.2f})',
                f'{curve["work_exponent"]:.2f}',
                curve['expected'],
            ]
        )
        steeper = curve['exponent'] - curve['work_exponent']
        outcomes.append(Outcome(f'{name}: steeper than its work by', goals.GROWTH, [steeper]))
    headers = ['curve', 'over', 'seconds', 'exponent', "its work's", 'what the work grows like']
    caption = (
        'Time and work against those of the first point. A curve that runs above its work is '
        'steeper than the work it does.'
    )
    draw = partial(plots.growth, found['curves'])
    return Part(machine_of(found), outcomes, [Table(headers, rows), Plot('growth', caption, draw)])


def memory(found: dict) -> Part:
    courses = found['courses']
    outcomes = [
        Outcome(f'{kind}: at the end against after three fifths', goals.MEMORY,
                [memory_course.growth(one)])
        for kind, one in courses.items()
    ]  # fmt: skip
    rows = [
        [kind, str(one['images'][-1]), f'{one["resident"][-1] / plots.MIB:.0f}',
         f'{one["peak"] / plots.MIB:.0f}']
        for kind, one in courses.items()
    ]  # fmt: skip
    panels = {
        'training crops': {k: one for k, one in courses.items() if k in memory_course.JITTER},
        'testing': {k: one for k, one in courses.items() if k not in memory_course.JITTER},
    }
    draw = partial(plots.courses, {title: kinds for title, kinds in panels.items() if kinds})
    headers = ['what', 'images', 'resident at the end, MiB', 'peak, MiB']
    caption = 'Resident memory of the process, libraries included.'
    return Part(machine_of(found), outcomes, [Table(headers, rows), Plot('memory', caption, draw)])
