"""Build mmcv's compiled operators once and install them: python tools/build_mmcv_ops.py"""

import _command_line


def main() -> None:
    parser = _command_line.parser(
        "Build mmcv's compiled operators (nms, RoIAlign) for this environment's torch and install "
        'them. MMDetection and MMSegmentation need them. It takes minutes; the wheel is kept and '
        'used again wherever Python, torch and mmcv are the same.'
    )
    parser.add_argument(
        '--cache', help='folder of built wheels (default: $VGG_MM_CACHE or ~/.cache/vgg_mm)'
    )
    parser.add_argument('--jobs', type=int, help='compilers at once (default: all cores)')
    args = parser.parse_args()

    def find():
        from vgg_mm.apis.mmcv_ops import install

        return install

    _command_line.run(find, args.cache, args.jobs)


if __name__ == '__main__':
    main()
