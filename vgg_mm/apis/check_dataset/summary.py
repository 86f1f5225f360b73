"""The findings as what ``report.json`` holds."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .findings import RATIOS, Findings, class_counts, count_problems, histogram
from .layout import Layout


def summary(findings: Findings) -> dict:
    """All counts and lists; paths start with the folder that was given.

    Colour modes are listed image by image except for the most frequent one.
    """
    layout, scan = findings.layout, findings.scan
    return dict(
        folder=layout.folder,
        images=len(layout.paths),
        images_read=scan.seen,
        splits=class_counts(layout),
        missing_classes=findings.missing,
        crop_size=findings.crop_size,
        smaller_than_crop=findings.small,
        short_side=_distribution(findings.short_sides, findings.bounds),
        aspect_ratio=_distribution(findings.ratios, RATIOS),
        modes={mode: len(images) for mode, images in findings.modes.items()},
        images_of_mode={
            mode: _paths(layout, images) for mode, images in [*findings.modes.items()][1:]
        },
        exif_rotated=_paths(layout, findings.rotated),
        problems=dict(count_problems(findings)),
        unreadable=_texts(layout, scan.unreadable),
        incomplete=_texts(layout, scan.incomplete),
        wrong_extension=_texts(layout, scan.wrong_format),
        decoder_warnings=_texts(layout, scan.warnings),
        duplicates={
            kind: [_paths(layout, group) for group in groups]
            for kind, groups in findings.duplicates._asdict().items()
        },
        outside_class_folders=dict(layout.outside),
        skipped=dict(layout.skipped),
    )


def _distribution(values: np.ndarray, bounds: Sequence[float]) -> dict:
    """Extremes and a histogram: below the first bound, from each to the next, from the last on."""
    if not len(values):
        return {}
    return dict(
        smallest=values.min().item(),
        median=np.median(values).item(),
        largest=values.max().item(),
        bounds=list(bounds),
        counts=histogram(values, bounds).tolist(),
    )


def _paths(layout: Layout, images: Iterable[int]) -> list[str]:
    return [layout.path(index) for index in images]


def _texts(layout: Layout, texts: Mapping[int, str]) -> dict[str, str]:
    """By path, in the layout's order."""
    return {layout.path(index): text for index, text in sorted(texts.items())}
