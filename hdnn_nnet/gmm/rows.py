"""Matrix work that MLLT and fMLLR share: weighted scatters, and inverses kept up to date while single rows change."""

import numpy as np


def replace_row(inverse: np.ndarray, row: int, change: np.ndarray) -> None:
    """Update, in place, inverses (..., d, d) of matrices whose row `row` grew by `change` (..., d).

    Sherman and Morrison: (M + e_row change')^-1 = M^-1 - M^-1 e_row change' M^-1 / (1 + change' M^-1 e_row).
    """
    column = inverse[..., :, row, None].copy()
    gained = change[..., None, :] @ inverse
    inverse -= column * (gained / (1.0 + gained[..., row, None]))


def weighted_scatter(vectors: np.ndarray, weights: np.ndarray, block: int = 2048) -> np.ndarray:
    """Sums over t of weights[t, i] * vectors[t] vectors[t]': (T, n) and (T, D), float64, to (D, n, n)."""
    size = vectors.shape[1]
    scatter = np.zeros((size, weights.shape[1], size))  # the column first, so that a product fills a whole plane
    for begin in range(0, len(vectors), block):
        rows, factors = vectors[begin : begin + block], weights[begin : begin + block].T
        for column in range(size):
            scatter[column, :, column:] += factors @ (rows[:, column:] * rows[:, column, None])
    scatter = np.ascontiguousarray(scatter.transpose(1, 0, 2))
    lower = np.tril_indices(size, -1)
    scatter[:, lower[0], lower[1]] = scatter[:, lower[1], lower[0]]
    return scatter


def stable_inverse(matrices: np.ndarray, share: float = 1.0e-12) -> tuple[np.ndarray, np.ndarray]:
    """Inverses of symmetric, non-negative matrices (..., n, n), and which of them, (...,), had to be floored.

    Singular ones are inverted with their eigenvalues raised to `share` of the largest, in units in which the diagonal is 1.
    """
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    diagonal = np.einsum("nii->ni", flat)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))  # units of the dimensions differ widely
    outer = scale[:, :, None] * scale[:, None, :]
    unit = flat / outer
    try:
        inverse = np.linalg.inv(unit)
    except np.linalg.LinAlgError:  # one of them, but which?
        inverse = np.stack([_inverse(matrix) for matrix in unit])
    with np.errstate(invalid="ignore"):
        floored = ~(np.abs(inverse).max(axis=(1, 2)) * share < 1.0) | ~(np.einsum("nii->ni", inverse) > 0).all(axis=1)
    if floored.any():
        values, vectors = np.linalg.eigh(unit[floored])
        values = np.maximum(values, np.maximum(share * values[:, -1:], 1.0e-100))
        inverse[floored] = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
    return (inverse / outer).reshape(matrices.shape), floored.reshape(matrices.shape[:-2])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.inf)
