"""Image loading whose errors name the file."""

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from vgg_mm.registry import TRANSFORMS

JPEG_START, JPEG_SCAN, JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with one clear line for each file that cannot be used.

    Besides naming the path in every error, it refuses truncated JPEG files, which OpenCV decodes
    without complaint to an image whose lower part is grey.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is empty, truncated or not an image.
    """

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        try:
            img = self._decode(fileio.get(path, backend_args=self.backend_args), path)
        except FileNotFoundError:
            raise FileNotFoundError(f'image not found: {path}') from None
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

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
