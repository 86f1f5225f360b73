"""Write the embedded data set as class folders: python tools/prepare_data.py digits"""

import _command_line


def main() -> None:
    parser = _command_line.parser("Write scikit-learn's digits as an image folder.")
    parser.add_argument('dataset', choices=['digits'], help='which data set')
    parser.add_argument('--out', default='data/digits', help='folder (default: data/digits)')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.prepare_data import prepare_digits

        def prepare(folder):
            counts = prepare_digits(folder)
            print(f'{folder}: {counts["train"]} training and {counts["val"]} test images')

        return prepare

    _command_line.run(find, args.out)


if __name__ == '__main__':
    main()
