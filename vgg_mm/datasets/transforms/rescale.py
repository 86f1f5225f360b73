"""The geometry that training and testing share: the smaller side becomes S (or Q)."""


def rescaled_size(height: int, width: int, smaller_side: int) -> tuple[int, int]:
    """(height, width) after isotropic rescaling to ``smaller_side``.

    The longer side is rounded down, as MMPretrain's ResizeEdge does.
    """
    if width < height:
        return smaller_side * height // width, smaller_side
    return smaller_side, smaller_side * width // height
