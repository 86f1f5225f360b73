"""``make demo``: from the embedded digits to a table of errors."""

from .chain import train_chain
from .prepare_data import prepare_digits

CHAIN = 'vgg16_digits'


def demo(work_dir: str = 'work_dirs/demo', data_root: str = 'data/digits') -> str:
    """Train A, then D from A, and test both: a chain of two stages.

    Args:
        work_dir: Folder for checkpoints and logs. Runs that are finished there are used, ones that
            were interrupted go on.
        data_root: Folder for the digits.

    Returns:
        The table of errors.
    """
    counts = prepare_digits(data_root)
    print(f'{data_root}: {counts["train"]} training and {counts["val"]} test images')
    options = {'DATA_ROOT': data_root}
    table = train_chain(CHAIN, work_dir, options)
    print('The test images are the last 360 digits, by other writers than the training images.')
    return table
