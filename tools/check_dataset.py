"""Check a data set ahead of training: python tools/check_dataset.py FOLDER"""

import sys

import _command_line


def main() -> None:
    parser = _command_line.parser(
        'Read every image of a data set; print and write what is wrong. Exit status: 0 if training '
        'can start, 1 if there are unreadable files, the same images in two splits, or splits with '
        'different classes.'
    )
    parser.add_argument('folder', help='holds CLASS/* or train/CLASS/* and val/CLASS/*')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder for report.json, problems.txt and report.png '
        '(default: work_dirs/check_dataset/NAME)',
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read (default: one a core)'
    )
    parser.add_argument('--crop-size', type=int, default=224, metavar='PIXELS', help='default: 224')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.check_dataset import check_dataset

        return lambda **options: sys.exit(check_dataset(**options))

    _command_line.run(find, **vars(args))


if __name__ == '__main__':
    main()
