"""Photos a class: weights of the loss that make up for few, and a word where they are needed."""

from collections import Counter

from .split import Split

#: So many times as many photos in the largest class as in the smallest are worth a notice.
STRONG = 5


def class_weights(split: Split) -> list[float]:
    """Weights inverse to the photos to train on, on average 1 over the photos.

    N / (K n) for a class with n of the N photos of K classes, as scikit-learn's 'balanced'.
    """
    counts = Counter(label for _, label in split.train)
    total, classes = len(split.train), len(split.classes)
    return [round(total / (classes * counts[label]), 4) for label in range(classes)]


def describe_balance(split: Split, balanced: bool) -> str:
    """A line on class weights, or on classes that differ strongly without them; '' if neither."""
    counts = Counter(label for _, label in split.train)
    ordered = counts.most_common()
    (most, largest), (least, smallest) = (
        (split.classes[label], count) for label, count in (ordered[0], ordered[-1])
    )
    if balanced:
        weights = class_weights(split)
        return (
            f'Loss       weighted by class, from {min(weights):g} ({most}) to {max(weights):g} '
            f'({least})'
        )
    if largest < STRONG * smallest:
        return ''
    return (
        f'Notice     {most} has {largest:,} photos to train on, {least} {smallest:,}: '
        '--class-weights balanced makes each class count the same'
    )
