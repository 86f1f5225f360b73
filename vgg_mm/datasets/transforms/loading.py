"""Image loading whose errors name the file."""

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from vgg_mm.registry import TRANSFORMS

#: Key of the reason why an image could not be read, where loading goes on all the same.
LOAD_ERROR = 'load_error'

JPEG_START, JPEG_SCAN, JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with one clear line for each file that cannot be used.

    Besides naming the path in every error, it refuses truncated JPEG files, which OpenCV decodes
    without complaint to an image whose lower part is grey.

    Args:
        on_error: 'raise', or 'mark': an image that cannot be read becomes a black one, with the
            reason under the key ``load_error``, by which the metrics count it as an error.
        kwargs: As in ``LoadImageFromFile``.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is empty, truncated or not an image.
    """

    def __init__(self, on_error: str = 'raise', **kwargs):
        super().__init__(**kwargs)
        if on_error not in ('raise', 'mark'):
            raise ValueError(f"LoadImage: on_error must be 'raise' or 'mark', got {on_error!r}")
        self.on_error = on_error

    def transform(self, results: dict) -> dict:
        try:
            img = self._read(results['img_path'])
        except (OSError, ValueError) as error:
            if self.on_error == 'raise':
                raise
            results[LOAD_ERROR] = str(error)
            img = np.zeros((1, 1, 3), np.uint8)
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        try:
            return self._decode(fileio.get(path, backend_args=self.backend_args), path)
        except FileNotFoundError:
            raise FileNotFoundError(f'image not found: {path}') from None

    def _decode(self, content: bytes, path: str) -> np.ndarray:
        if not content:
            raise ValueError(f'empty image file: {path}')
        if _lacks_jpeg_end(content):
            raise ValueError(f'truncated JPEG file (no end marker): {path}')
        try:
            img = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        except Exception as error:
            raise ValueError(f'cannot decode image {path}: {str(error).strip()}') from error
        if img is None:
            raise ValueError(f'not an image, or of a format that cannot be read: {path}')
        return img


def _lacks_jpeg_end(content: bytes) -> bool:
    """Whether a JPEG file's last scan is not followed by the end marker.

    Scan data never holds either marker (0xFF is stuffed there), so two searches tell.
    """
    return content.startswith(JPEG_START) and content.rfind(JPEG_END) < content.rfind(JPEG_SCAN)
