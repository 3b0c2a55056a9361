import datetime
from pathlib import Path

import pytest

from corpus.ingest import Judge
from corpus.snapshot import SnapshotWriter
from corpus.sources import Source
from pipelines.judging import judged_in_order


@pytest.mark.slow
def test_several_processes_give_what_one_gives_in_the_same_order(tmp_path: Path) -> None:
    def clock() -> datetime.datetime:
        return datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)

    with SnapshotWriter(tmp_path, run="r", clock=clock, known=lambda url: None) as writer:
        snapshots = [
            writer.write_resource(
                f"file:{i}.txt",
                source="s",
                role="document",
                mime="text/plain",
                body=f"The {'pact' if i % 3 else 'fee'} number {i} is bad, said Ann Berg.\n".encode() * (1 + 40 * (i % 7)),
            )
            for i in range(150)
        ]
    judge = Judge(tmp_path, {"s": Source(name="s", type="files", paths=("x",))}, ("pact",))
    alone = list(judged_in_order(judge, snapshots, 1, lambda name: None))
    assert [j.snapshot.id for j in alone] == [s.id for s in snapshots]
    assert {j.outcome for j in alone} == {"kept", "irrelevant"}
    for jobs in (2, 3):
        assert list(judged_in_order(judge, iter(snapshots), jobs, lambda name: None)) == alone
    few = list(judged_in_order(judge, snapshots[:5], 2, lambda name: None))
    assert few == alone[:5]
