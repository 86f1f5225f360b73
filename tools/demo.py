"""Train A, then D from A, on the embedded digits and print a table of errors (make demo)."""

import _command_line


def main() -> None:
    parser = _command_line.parser('Train and test two nets on the embedded digits.')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for results')
    parser.add_argument('--data-root', default='data/digits', help='folder for the digits')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.demo import demo

        return demo

    _command_line.run(
        find, root=_command_line.ROOT, when_stopped=_command_line.RESUMES, **vars(args)
    )


if __name__ == '__main__':
    main()
