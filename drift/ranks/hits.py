"""Which rows say that a category is more frequent than it was: a conformal test of each code."""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


def hits(
    codes: Codes,
    draws: NDArray[np.float64],
    centres: NDArray[np.float64],
    counts: NDArray[np.int64],
    steps: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows and codes whose conformal p-value is at most the code's centre.

    With f the share of a code among all rows so far, this one included, the code's p-value is
    ``f U`` on a row that has it and ``f + (1 - f) U`` on one that has not: independent from row to
    row and uniform while the rows are exchangeable. One U serves all codes of a row: each code is
    a test of its own, and what two of them share does not matter to either.

    Parameters
    ----------
    codes, draws : shape (n,)
        Code of each row and its U in [0, 1).
    centres : shape (codes,)
        P-values up to here are hits, in (0, 1).
    counts : shape (codes,)
        Rows of each code before these.
    steps
        Rows before these.

    Returns
    -------
    rows, codes : shape (hits,)
        In order of code, then of row.

    Notes
    -----
    A row without the code hits it only while its share is below the centre, and then seldom, so
    those are searched with a bound on the share and looked at one by one. About 60 ns a row.
    """
    rows = len(codes)
    order = np.argsort(codes, kind="stable")
    seen = np.bincount(codes, minlength=len(centres))
    ends = np.cumsum(seen)
    sorted_codes = codes[order].astype(np.int64)
    occurrence = np.arange(1, rows + 1) - (ends - seen - counts)[sorted_codes]
    share = occurrence / (steps + 1.0 + order)
    hit = share * draws[order] <= centres[sorted_codes]
    found_rows, found_codes = [order[hit]], [sorted_codes[hit]]
    for code, centre in enumerate(centres.tolist()):
        least = float(counts[code]) / (steps + rows)
        if least >= centre:
            continue
        candidates = np.flatnonzero(draws <= (centre - least) / (1.0 - least))
        candidates = candidates[codes[candidates] != code]
        own = order[ends[code] - seen[code] : ends[code]]
        before = counts[code] + np.searchsorted(own, candidates)
        share = before / (steps + 1.0 + candidates)
        candidates = candidates[share + (1.0 - share) * draws[candidates] <= centre]
        found_rows.append(candidates)
        found_codes.append(np.full(len(candidates), code))
    place = np.concatenate(found_codes) * rows + np.concatenate(found_rows)
    place.sort(kind="stable")
    return place % rows, place // rows
