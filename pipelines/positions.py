"""Positions: where each holder stands, since when, and which statements show that the stance has changed.

These are decisions of the model about single statements, with their calibrated probabilities. Nothing corrects them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from annotation.codebook import Codebook
    from pipelines.coverage import Coverage

MAIN_CONCERNS = 3
_NEUTRAL = "neutral"


def position_ids(codebook: Codebook) -> tuple[str, ...]:
    """Return the stances that take a position: all whose polarity is not neutral."""
    return tuple(s.id for s in codebook.stances if s.polarity != _NEUTRAL)


def build_positions(coverage: Coverage) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables ``positions`` and ``changes``.

    Rows are opinions: of copies, the one that stands for them. Abstained ones are counted and take no further part. The
    statements of one holder and date that take a position make one stance: of those decided on, the one with the highest
    mean calibrated probability (ties: the codebook's order). Dates are as precise as they are known; a month or a year into
    which a more precise date of the same holder falls is left out, since nobody knows which came first.

    - The current stance is that of the newest date; without any date, that of all the holder's position-taking statements.
    - A change is a stance that differs from the one of the date before. Two statements show it: on either date the one with
      the highest probability of that date's stance (ties: input order).
    - Its probability is that both statements take a position and the two differ. With their calibrated probabilities p and q
      over the stances k that take a position, ``sum(p) sum(q) - sum(p_k q_k)``: the two labels are taken as independent.
    """
    codebook = coverage.labels.codebook
    frame = coverage.frame
    rows = frame[frame["first"].astype(bool) & frame["resolved"].notna()]
    codes, names = _factorised(rows["resolved"])
    rows = rows.assign(_holder=codes)
    decided = rows[~rows["abstained"].astype(bool) & rows["stance"].notna()]
    dates = _dates(decided[decided["stance"].isin(position_ids(codebook))], codebook)
    changes = _changes(frame, dates, codebook)
    table = _counted(rows, decided, names, codebook)
    table["changes"] = _counts(changes["_holder"], len(names))
    table = table.join(_standing(frame, dates, table, codebook))
    order = np.lexsort((table["holder"].to_numpy(dtype=str), -table["abstained"].to_numpy(), -table["n"].to_numpy()))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    holder = changes["_holder"].to_numpy(dtype=np.int64)
    for name in ("holder", "holder_type"):
        changes[name] = table[name].to_numpy()[holder]
    changes = changes.iloc[np.lexsort((np.arange(len(changes)), rank[holder]))]
    return table.iloc[order].reset_index(drop=True), changes.drop(columns="_holder").reset_index(drop=True)


def _dates(taking: pd.DataFrame, codebook: Codebook) -> pd.DataFrame:
    """Return a row for each holder and date with position-taking statements, in that order.

    Columns: ``_holder``, ``day`` (None where the holder has no date at all), ``stance`` and ``probability`` of the date, and
    ``row``, the index of the statement that shows it.
    """
    import pandas as pd

    ids = position_ids(codebook)
    dated = taking["day"].notna()
    taking = taking[dated | ~taking["_holder"].isin(taking.loc[dated, "_holder"])]
    taking = taking[~_overlapped(taking["_holder"], taking["day"])]
    taking = taking.assign(_day=taking["day"].where(taking["day"].notna(), "").astype(object))
    group = taking.groupby(["_holder", "_day"], sort=True).ngroup().to_numpy()
    size = int(group.max()) + 1 if len(group) else 0
    shares = taking[[f"stance_{i}" for i in ids]].to_numpy(dtype=np.float64)
    chosen = taking["stance"].map({s: k for k, s in enumerate(ids)}).to_numpy(dtype=np.int64)
    total = np.zeros((size, len(ids)))
    np.add.at(total, group, shares)
    mean = total / np.bincount(group, minlength=size)[:, None]
    seen = np.zeros((size, len(ids)), dtype=bool)
    seen[group, chosen] = True
    best = np.where(seen, mean, -np.inf).argmax(axis=1)
    shows = np.flatnonzero(chosen == best[group])
    likely = shares[shows, chosen[shows]]
    shows = shows[np.lexsort((np.arange(len(shows)), -likely, group[shows]))]
    _, at = np.unique(group[shows], return_index=True)
    row = shows[at]
    day = taking["_day"].to_numpy(dtype=object)[row]
    return pd.DataFrame(
        {
            "_holder": taking["_holder"].to_numpy(dtype=np.int64)[row],
            "day": pd.Series([d or None for d in day], dtype=object),
            "stance": pd.Series([ids[k] for k in best], dtype=object),
            "probability": mean[np.arange(size), best],
            "row": taking.index.to_numpy()[row],
        }
    )


def _overlapped(holder: pd.Series, day: pd.Series) -> NDArray[np.bool_]:
    """Say of each date whether it is a month or year into which a more precise date of the same holder falls."""
    pairs = list(zip(holder, (d if isinstance(d, str) else "" for d in day), strict=True))
    wider = {(h, d[:width]) for h, d in set(pairs) for width in (4, 7) if len(d) > width}
    return np.array([pair in wider for pair in pairs], dtype=bool)


def _changes(frame: pd.DataFrame, dates: pd.DataFrame, codebook: Codebook) -> pd.DataFrame:
    import pandas as pd

    holder, stance = dates["_holder"].to_numpy(), dates["stance"].to_numpy(dtype=object)
    after = 1 + np.flatnonzero((holder[1:] == holder[:-1]) & (stance[1:] != stance[:-1]))
    columns = [f"stance_{i}" for i in position_ids(codebook)]
    sides: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    found: dict[str, Any] = {"_holder": holder[after]}
    for side, places in (("from", after - 1), ("to", after)):
        when = dates.iloc[places]
        shown = frame.loc[when["row"]]
        sides.append((when, shown))
        found |= {f"{side}_stance": when["stance"].to_numpy(), f"{side}_date": when["day"].to_numpy()}
        found |= {f"{side}_{name}": shown[name].to_numpy(dtype=object) for name in ("id", "text", "url")}
    p, q = (shown[columns].to_numpy(dtype=np.float64) for _, shown in sides)
    found["probability"] = np.clip(p.sum(axis=1) * q.sum(axis=1) - (p * q).sum(axis=1), 0.0, 1.0)
    return pd.DataFrame(found)


def _counted(rows: pd.DataFrame, decided: pd.DataFrame, names: list[str], codebook: Codebook) -> pd.DataFrame:
    """Return what is counted of each holder, by the holder's number."""
    import pandas as pd

    size = len(names)
    whole = _counts(rows["_holder"], size)
    table = pd.DataFrame({"holder": pd.Series(names, dtype=object), "n": _counts(decided["_holder"], size)})
    table["abstained"] = whole - table["n"]
    for stance in codebook.stance_ids:
        table[f"n_{stance}"] = _counts(decided.loc[decided["stance"] == stance, "_holder"], size)
    for name, column in (("holder_type", "resolved_type"), ("country", "country"), ("resolution", "resolution")):
        table[name] = commonest(rows["_holder"], rows[column]).reindex(range(size))
    table["documents"] = _different(decided["_holder"], decided["document_id"], size)
    outlets = decided[["_holder", "outlets"]].explode("outlets")
    table["sources"] = _different(outlets["_holder"], outlets["outlets"], size)
    table["main_concerns"] = _main_concerns(decided, codebook, size)
    return table


def _standing(frame: pd.DataFrame, dates: pd.DataFrame, table: pd.DataFrame, codebook: Codebook) -> pd.DataFrame:
    """Return each holder's first and last dates and current stance, by the holder's number; null where there are none."""
    import pandas as pd

    known = dates["day"].notna()
    last = dates.drop_duplicates("_holder", keep="last").set_index("_holder")
    first = dates[known].drop_duplicates("_holder").set_index("_holder")
    standing = pd.DataFrame(index=table.index)
    standing["stance"] = last["stance"]
    standing["probability"] = last["probability"]
    standing["first"], standing["last"] = first["day"], last["day"]
    standing["statement_first"] = frame["id"].loc[first["row"]].set_axis(first.index)
    standing["statement_last"] = frame["id"].loc[last["row"]].set_axis(last.index)
    counts = table[[f"n_{i}" for i in position_ids(codebook)]].to_numpy(dtype=np.float64)
    place = {s: k for k, s in enumerate(position_ids(codebook))}
    share = pd.Series(np.nan, index=table.index)
    holders = last.index.to_numpy(dtype=np.int64)
    at = last["stance"].map(place).to_numpy(dtype=np.int64)
    share.iloc[holders] = counts[holders, at] / counts[holders].sum(axis=1)
    standing["stance_share"] = share
    return standing


def _main_concerns(decided: pd.DataFrame, codebook: Codebook, size: int) -> pd.Series:
    """Return for each holder the concerns that most of its statements raise; ties in the codebook's order."""
    import pandas as pd

    place = {c: k for k, c in enumerate(codebook.concern_ids)}
    raised = decided[["_holder", "concerns"]].explode("concerns").reset_index(names="_row").dropna(subset="concerns")
    raised = raised.drop_duplicates(["_row", "concerns"])
    counts = raised.groupby(["_holder", "concerns"], sort=False).size().rename("n").reset_index()
    counts = counts.assign(_place=counts["concerns"].map(place)).sort_values(["n", "_place"], ascending=[False, True])
    top = counts.groupby("_holder", sort=False).head(MAIN_CONCERNS)
    found: list[list[str]] = [[] for _ in range(size)]
    for holder, concern in zip(top["_holder"], top["concerns"], strict=True):
        found[holder].append(concern)
    return pd.Series(found, dtype=object)


def commonest(keys: pd.Series, values: pd.Series) -> pd.Series:
    """Return the commonest value of each key, nulls aside (ties: the one met first); keys without any are left out."""
    import pandas as pd

    pairs = pd.DataFrame({"key": keys.to_numpy(), "value": values.to_numpy(dtype=object)}).dropna()
    counts = pairs.groupby(["key", "value"], sort=False).size().rename("n").reset_index()
    counts = counts.sort_values("n", ascending=False, kind="stable").drop_duplicates("key")
    return counts.set_index("key")["value"]


def _factorised(values: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    import pandas as pd

    codes, names = pd.factorize(values.astype(object))
    return codes.astype(np.int64), list(names)


def _counts(codes: pd.Series, size: int) -> NDArray[np.int64]:
    return np.bincount(codes.to_numpy(dtype=np.int64), minlength=size).astype(np.int64)


def _different(codes: pd.Series, values: pd.Series, size: int) -> NDArray[np.int64]:
    """Count the different values of each code, nulls aside."""
    import pandas as pd

    pairs = pd.DataFrame({"code": codes.to_numpy(), "value": values.to_numpy(dtype=object)}).dropna().drop_duplicates()
    return _counts(pairs["code"], size)
