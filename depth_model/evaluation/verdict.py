"""Whether a model is better than another, image by image, and what speaks against taking it.

Works on the AbsRel of every image, as the tables of `harness.joined` have it: both models on the same images, the mean
of the differences with its bootstrap interval. Says nothing of images that one of the two failed on; `failures` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.evaluation.bootstrap import bootstrap

if TYPE_CHECKING:
    import pandas as pd

BETTER, NOT_BETTER, TOO_FEW = "better", "not better", "too few images to tell"
START, CONSTANT = "start", "constant"
"""What the model that a training started from, and a constant prediction, are called among those that are measured."""


@dataclass(frozen=True)
class Verdict:
    """A model against another on the `images` that both were measured on, by AbsRel.

    `better`: images with the lower AbsRel. `before`, `after`: means of the other and of the model; `low`, `high`: the
    95 % interval of after - before. `outcome`: BETTER when all of it lies below 0; TOO_FEW with fewer than asked.
    """

    images: int
    better: int
    before: float
    after: float
    low: float
    high: float
    outcome: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def scores(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return AbsRel (images, models) of the tables by set; rows are called `set/key`, NaN is a failure."""
    import pandas as pd

    wide = [
        table.pivot(index="key", columns="model", values="abs_rel").rename(index=lambda key, name=name: f"{name}/{key}")
        for name, table in tables.items()
    ]
    return pd.concat(wide) if wide else pd.DataFrame()


def verdict(ours: pd.Series, theirs: pd.Series, minimum: int) -> Verdict | None:
    """Return the verdict on two columns of `scores` with at least `minimum` images; None without a common image."""
    both = np.stack([ours.to_numpy(float), theirs.reindex(ours.index).to_numpy(float)])
    both = both[:, np.isfinite(both).all(axis=0)]
    if not both.shape[1]:
        return None
    after, before = both
    (interval,) = bootstrap((after - before)[:, None])
    enough = len(after) >= minimum
    outcome = TOO_FEW if not enough else BETTER if interval.high < 0 else NOT_BETTER
    counts = len(after), int((after < before).sum())
    return Verdict(*counts, float(before.mean()), float(after.mean()), interval.low, interval.high, outcome)


def failures(ours: pd.Series) -> int:
    """Return how many images the model of a column of `scores` failed on."""
    return int(ours.isna().sum())


def refusal(found: pd.DataFrame, model: str, minimum: int) -> str:
    """Return why `model` must not be taken, whatever else there is, by `scores`; "" when nothing speaks against it.

    It failed on images, was measured on fewer than `minimum`, or is not better than the constant or than what it
    started from.
    """
    if count := failures(found[model]):
        return f"it failed on {count} of {len(found)} images"
    if few := too_few(len(found), minimum):
        return few
    for rival, called in ((CONSTANT, "a constant"), (START, "the model it started from")):
        if rival in found and model != rival:
            one = verdict(found[model], found[rival], minimum)
            if one is None or one.outcome != BETTER:
                return f"it is not better than {called}" + (f": {sentence(one)}" if one else "")
    return ""


def too_few(images: int, minimum: int) -> str:
    """Return what speaks against a model that was measured on so many images, "" for nothing."""
    return "" if images >= minimum else f"it was measured on {images} images, and fewer than {minimum} tell too little"


def sentence(one: Verdict | Mapping[str, Any]) -> str:
    """Return a verdict in words: on how many images the model is better, and AbsRel before and after."""
    told = one.as_dict() if isinstance(one, Verdict) else one
    return "better on {better} of {images} images, AbsRel {before:.3f} -> {after:.3f} [{low:+.3f}, {high:+.3f}]".format(
        **told
    )


def comparison(found: pd.DataFrame, model: str, rivals: Sequence[str], minimum: int) -> dict[str, Any]:
    """Return what is told of `model` by `scores`: against each of the `rivals` that was measured, over all images and
    set by set, the images that every model failed on, and `refusal`, as data that JSON holds."""
    against = {}
    for rival in [one for one in rivals if one in found]:
        sets = found.index.str.partition("/").get_level_values(0) if len(found) else []
        parts = {name: found[sets == name] for name in dict.fromkeys(sets)}
        whole = verdict(found[model], found[rival], minimum)
        by_set = {name: verdict(one[model], one[rival], minimum) for name, one in parts.items()}
        told = {name: one.as_dict() for name, one in by_set.items() if one}
        against |= {rival: {"all": whole.as_dict(), "sets": told}} if whole else {}
    return {
        "model": model,
        "images": len(found),
        "minimum": minimum,
        "against": against,
        "failures": {name: count for name in found if (count := failures(found[name]))},
        "refusal": refusal(found, model, minimum) if len(found) else "no image with depth was there to measure it on",
    }


_CALLED = {START: "the model it started from", CONSTANT: "a constant"}
_ADVICE = {BETTER: "use the new one", NOT_BETTER: "keep the old one"}


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `comparison` returned in words, a line for each rival; the first says what to do."""
    model = _named(found["model"])
    if not found["images"]:
        yield f"{model} was not measured: there is no image with depth that it was not trained on."
    for rival, one in found["against"].items():
        yield f"{model} against {_CALLED.get(rival, f'its {rival}')}: {_judged(one['all'], rival, found)}."
    for failed, count in found["failures"].items():
        yield f"{_named(failed)} failed on {count} of {found['images']} images."
    if found["refusal"]:
        yield f"It does not become the champion: {found['refusal']}."


def _named(model: str) -> str:
    return f"The model {model}" if "/" in model else f"The {model}"


def headline(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return the outcome of a `comparison` with the first of its rivals and a sentence on it; the outcome is TOO_FEW
    where nothing was measured."""
    for rival, one in found["against"].items():
        whole, called = one["all"], _CALLED.get(rival, f"its {rival}")
        if whole["outcome"] == TOO_FEW:
            sizes = f"{whole['images']} were measured, {found['minimum']} are needed"
            return TOO_FEW, f"Too few images to tell whether the {found['model']} is better than {called}: {sizes}."
        if whole["outcome"] == NOT_BETTER and whole["low"] <= 0:
            return NOT_BETTER, f"{_named(found['model'])} is neither clearly better nor clearly worse than {called}."
        judged = "better" if whole["outcome"] == BETTER else "worse"
        return whole["outcome"], f"{_named(found['model'])} is {judged} than {called}."
    return TOO_FEW, "Nothing was measured, so nothing can be said."


def _judged(one: Mapping[str, Any], rival: str, found: Mapping[str, Any]) -> str:
    if one["outcome"] == TOO_FEW:
        return f"{sentence(one)}: {TOO_FEW}, {found['minimum']} are needed"
    judged = f"{NOT_BETTER}, " * (one["outcome"] == NOT_BETTER) + sentence(one)
    return f"{judged}: {_ADVICE[one['outcome']]}" if rival == START else judged
