from .localisation_tta import LocalisationTTA
from .paper_tta import PaperTTA

__all__ = ['LocalisationTTA', 'PaperTTA']
