"""``python -m vgg_mm_cli`` is ``vgg-mm``, for torch's launcher and checkouts not installed."""

from vgg_mm_cli import main

if __name__ == '__main__':
    main()
