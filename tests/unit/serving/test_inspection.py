"""What artefacts say of themselves, without running any of them."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from serving.replica.inspection import (
    DamagedArtefactError,
    ForeignArtefactError,
    expect,
    inspect,
    mismatch,
)

HEADS = (
    b"", b"\x80\x04", b"PK\x03\x04", b"\x08\x0a", b"tree\nversion=v4\n", b'{"learner": 1}',
    b'{"learner": {"feature_names": 3}}', b"{L\x00learner", b"\x78\x9c", b"\x1f\x8b\x08", b"BZh9",
)  # fmt: skip
"""How known forms begin."""


class Trap:
    """Tells when somebody unpickles it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, ("sprung",)


def estimator() -> LogisticRegression:
    rows = np.random.default_rng(1).normal(size=(50, 3))
    return LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))


def kept(folder: Path, data: bytes) -> Path:
    path = folder / "artefact"
    path.write_bytes(data)
    return path


def joblib_bytes(model: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    joblib.dump(model, data, **options)
    return data.getvalue()


def test_looking_at_a_pickle_does_not_load_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inspect(kept(tmp_path, pickle.dumps(Trap())))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_an_estimator_is_known_by_its_root_and_its_release(
    tmp_path: Path, compress: int | tuple[str, int]
) -> None:
    import sklearn

    found = inspect(kept(tmp_path, joblib_bytes(estimator(), compress=compress)))
    assert found is not None
    assert (found.framework, found.runs_code) == ("sklearn", True)
    assert found.made_with == {"scikit-learn": sklearn.__version__}


@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_pickle_is_damaged(
    tmp_path: Path, pack: Callable[[bytes], bytes], share: float
) -> None:
    data = pack(joblib_bytes(estimator()))
    with pytest.raises(DamagedArtefactError, match="not whole"):
        inspect(kept(tmp_path, data[: int(len(data) * share)]))


def test_weights_alone_are_no_program(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}.")
    with pytest.raises(ForeignArtefactError, match="expected a program of PyTorch"):
        inspect(kept(tmp_path, data.getvalue()))


def test_an_artefact_of_another_framework_is_named(tmp_path: Path) -> None:
    path = kept(tmp_path, joblib_bytes(estimator()))
    with pytest.raises(ForeignArtefactError, match="expected an artefact of onnx, found a pickle"):
        expect(path, "onnx")
    # The first class of a pickle does not always tell: what is said of one counts.
    assert expect(path, "python") is not None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), head=st.sampled_from(HEADS))
def test_no_bytes_do_more_than_be_refused(tmp_path: Path, data: bytes, head: bytes) -> None:
    with contextlib.suppress(DamagedArtefactError, ForeignArtefactError):
        inspect(kept(tmp_path, head + data))


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_a_booster_of_xgboost_tells_its_names_and_its_release(tmp_path: Path, form: str) -> None:
    import xgboost

    rows = np.random.default_rng(1).normal(size=(50, 2))
    matrix = xgboost.DMatrix(rows, rows[:, 0] > 0, feature_names=["age", "hour"])
    booster = xgboost.train({"objective": "binary:logistic"}, matrix, 3)
    path = tmp_path / f"model.{form}"
    booster.save_model(path)
    found = inspect(path)
    assert found is not None
    assert found.input_schema is not None
    assert list(found.input_schema["properties"]) == ["age", "hour"]
    assert found.made_with == {"xgboost": xgboost.__version__}
    for end in (100, path.stat().st_size // 2, path.stat().st_size - 1):
        with pytest.raises(DamagedArtefactError, match="the XGBoost file is not whole"):
            expect(kept(tmp_path, path.read_bytes()[:end]), "xgboost")
    # Names that nobody gave are not made up.
    xgboost.train({}, xgboost.DMatrix(rows, rows[:, 0]), 1).save_model(path)
    unnamed = inspect(path)
    assert unnamed is not None
    assert unnamed.input_schema is None


@pytest.mark.parametrize(
    ("wrote", "fits"),
    [("{major}.{minor}.99", True), ("0.1.0", False), ("{major}.99.0", False)],
)
def test_scikit_learn_loads_its_own_minor_release_alone(wrote: str, fits: bool) -> None:
    import sklearn

    major, minor = sklearn.__version__.split(".")[:2]
    release = wrote.format(major=major, minor=minor)
    said = mismatch({"scikit-learn": release})
    if fits:
        assert said is None
    else:
        assert said is not None
        assert f"made with scikit-learn {release}" in said
        assert f"has scikit-learn {sklearn.__version__}" in said


def test_what_an_older_release_wrote_is_loaded_and_a_newer_ones_is_not() -> None:
    assert mismatch({"xgboost": "1.0.0"}) is None
    assert mismatch({"xgboost": "99.0.0"}) is not None
    assert mismatch({"not-installed-here": "1"}) is None
