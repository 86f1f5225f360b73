"""Average the posteriors of several nets: python tools/ensemble.py FILE.npz FILE.npz ..."""

import _command_line


def main() -> None:
    parser = _command_line.parser(
        'Average the soft-max posteriors of several nets, from files of tools/test.py --out.'
    )
    parser.add_argument(
        'files', nargs='*', metavar='FILE[:PROTOCOL]', help='two or more files of posteriors'
    )
    parser.add_argument('--weights', nargs='+', type=float, help='one for each file')
    parser.add_argument('--protocol', help='of the files that name none (default: all in common)')
    parser.add_argument('--recipe', help='in place of files: a config of configs/ensembles')
    parser.add_argument(
        '--results',
        default='work_dirs',
        metavar='FOLDER',
        help="where a recipe's FOLDER/CONFIG_NAME/posteriors.npz are (default: work_dirs)",
    )
    parser.add_argument('--out', metavar='FILE.npz', help="file for the ensemble's posteriors")
    parser.add_argument('--work-dir', help='folder for the results that tools/paper_table.py reads')
    args = parser.parse_intermixed_args()

    def find():
        from vgg_mm.apis.ensemble import report

        return report

    _command_line.run(find, **vars(args))


if __name__ == '__main__':
    main()
