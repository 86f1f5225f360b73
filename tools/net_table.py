"""Print the paper's Tables 1 and 2 from the code: python tools/net_table.py [--net D]"""

import _command_line


def main() -> None:
    parser = _command_line.parser("Print the paper's Tables 1 and 2 from the code.")
    parser.add_argument('--net', help='list the layers of one net: A, A-LRN, ... or a depth')
    parser.add_argument('--num-classes', type=int, default=1000, help='width of fc8')
    parser.add_argument('--size', type=int, default=224, help='side of the image in pixels')
    parser.add_argument('--markdown', action='store_true', help='print Markdown tables')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.net_table import report

        return lambda *options: print(report(*options))

    _command_line.run(find, args.net, args.num_classes, args.size, args.markdown)


if __name__ == '__main__':
    main()
