"""Mean RGB and PCA of one's own images: python tools/rgb_statistics.py FOLDER"""

import _command_line


def main() -> None:
    parser = _command_line.parser('Mean RGB and principal components of all images in a folder.')
    parser.add_argument('folder', help='searched recursively')
    parser.add_argument('--out', metavar='FILE.json', help='also write the numbers to a file')
    parser.add_argument('--max-images', type=int, help='take so many, evenly spread')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.rgb_statistics import report

        return lambda *options: print(report(*options))

    _command_line.run(find, args.folder, args.out, args.max_images)


if __name__ == '__main__':
    main()
