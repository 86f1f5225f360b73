"""Draw WORK_DIR/curves.png: python tools/plot_run.py WORK_DIR [WORK_DIR ...]"""

import _command_line


def main() -> None:
    parser = _command_line.parser(
        'Draw training loss, validation errors and learning rate of trainings, each into its '
        'WORK_DIR/curves.png; runs that were interrupted and resumed are joined.'
    )
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='work directory of tools/train.py'
    )
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.chain.curves import draw_curves

        return lambda: print('\n'.join(draw_curves(folder) for folder in args.work_dirs))

    _command_line.run(find)


if __name__ == '__main__':
    main()
