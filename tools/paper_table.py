"""Print the paper's Tables 3 to 7 from test results: python tools/paper_table.py work_dirs"""

import _command_line


def main() -> None:
    parser = _command_line.parser(
        "Print the paper's Tables 3 to 7 from the results that tools/test.py left in work "
        "directories, beside the paper's figures where they are on ImageNet."
    )
    parser.add_argument(
        'folders', nargs='+', metavar='WORK_DIR', help='work directories, or folders above them'
    )
    parser.add_argument('--out', metavar='FOLDER', help='also write tables.md and tables.html')
    parser.add_argument(
        '--run',
        action='store_true',
        help='first test the checkpoints in work directories whose results are missing',
    )
    parser.add_argument(
        '--data-root', metavar='FOLDER', help="with --run: replaces the configs' DATA_ROOT"
    )
    parser.add_argument(
        '--all',
        action='store_true',
        dest='show_imagenet',
        help="also show the paper's tables where there is no result on ImageNet",
    )
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.paper_table import paper_table

        return paper_table

    _command_line.run(find, root=_command_line.ROOT, **vars(args))


if __name__ == '__main__':
    main()
