"""Linear SVMs, one for each class, and the nearest neighbours by cosine similarity."""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from vgg_mm.installation import argument
from vgg_mm.progress import Progress, to_stderr

#: C that cross-validation chooses from.
DEFAULT_C = (0.1, 1.0, 10.0, 100.0, 1000.0)

FOLDS = 5

#: Steps until the solver gives up; it takes some tens.
MAX_ITERATIONS = 1_000


class Fitted(NamedTuple):
    """A classifier and how its C was chosen.

    ``recalls`` maps each C to the mean class recall in cross-validation, in [0, 1]; it is empty if
    there was no choice.
    """

    svm: Any
    c: float
    recalls: dict[float, float]

    def scores(self, values: np.ndarray) -> np.ndarray:
        """(N, dimension) -> (N, classes): distances from the planes, larger is more likely."""
        found = self.svm.decision_function(values)
        return np.stack([-found, found], axis=1) if found.ndim == 1 else found

    @property
    def converged(self) -> bool:
        return int(np.max(self.svm.n_iter_)) < MAX_ITERATIONS


def import_sklearn() -> None:
    """Raise an ImportError of one line if scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError('the SVM needs a library: pip install scikit-learn') from error


def fit(
    values: np.ndarray,
    labels: np.ndarray,
    c: Iterable[float] = DEFAULT_C,
    folds: int = FOLDS,
    seed: int = 0,
    threads: int = 1,
) -> Fitted:
    """Fit with the C of the best mean class recall in cross-validation, the smallest of equals.

    Args:
        values: (N, dimension).
        labels: (N,), of two classes or more.
        c: Values to choose from; with one there is no cross-validation.
        folds: Of the cross-validation, stratified.
        seed: Of the folds.
        threads: Fits at a time.

    Raises:
        ValueError: in one line, if a number is out of range or a class has fewer images than folds.
    """
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import LinearSVC

    c = list(c)
    if not c or not all(0 < one < math.inf for one in c):
        raise ValueError(f'{argument("c")} must be positive numbers, got {list(c)}')
    # The primal problem takes tens of steps at any C; the dual one, which scikit-learn would solve
    # for few images of many numbers, takes minutes at a C of 100.
    svm = LinearSVC(max_iter=MAX_ITERATIONS, dual=False)
    with warnings.catch_warnings():
        # Fits that did not converge lose in cross-validation; the user is warned of the last one.
        warnings.filterwarnings('ignore', message='Liblinear failed to converge')
        if len(c) == 1:
            return Fitted(svm.set_params(C=c[0]).fit(values, labels), float(c[0]), {})
        if folds < 2:
            raise ValueError(f'{argument("folds")} must be at least 2, got {folds}')
        fewest = int(np.unique(labels, return_counts=True)[1].min())
        if fewest < folds:
            way = f'{argument("folds", fewest)}, or ' if fewest > 1 else ''
            raise ValueError(
                f'a class has {fewest} training image{"s" * (fewest > 1)}, fewer than the '
                f'{folds} folds of cross-validation: give {way}{argument("c")} with one value'
            )
        fits = len(c) * folds
        to_stderr(f'choosing C by cross-validation: {fits} fits')
        search = GridSearchCV(
            svm,
            dict(C=sorted(c)),
            scoring=_counting_scorer(Progress(fits, what='fits')),
            cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        )
        # liblinear works without Python's lock, and threads share the features.
        with parallel_config(backend='threading', n_jobs=threads):
            search.fit(values, labels)
    recalls = dict(zip(sorted(map(float, c)), search.cv_results_['mean_test_score'].tolist()))
    return Fitted(search.best_estimator_, float(search.best_params_['C']), recalls)


def _counting_scorer(progress: Progress) -> Callable[..., float]:
    """Mean class recall; it is called once per fit."""
    from sklearn.metrics import get_scorer

    scorer = get_scorer('balanced_accuracy')

    def score(*args: Any) -> float:
        progress.set(progress.done + 1)
        return scorer(*args)

    return score


def nearest(index: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by cosine similarity, the nearest first.

    Args:
        index: (M, dimension), rows of length 1 (or 0).
        queries: (N, dimension), likewise.
        k: At most M.

    Returns:
        Places in ``index`` and cosines in [-1, 1], both (N, k).
    """
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=k, metric='cosine', algorithm='brute').fit(index)
    distances, places = finder.kneighbors(queries)
    return places, 1 - distances
