"""The checklist as data, and as the table of its page: ``python -m tests.repo.checklist``."""

import tomllib
from dataclasses import dataclass

from tests.repo.source import ROOT

PAGE = ROOT / "docs" / "evidence" / "checklist.md"
START = "| row | claim | shown when | shown by | where it falls short |"


@dataclass(frozen=True)
class Line:
    """A row of the checklist."""

    claim: str
    acceptance: str
    proofs: tuple[str, ...]
    short: str = ""


def read_checklist() -> dict[str, Line]:
    """Read ``checklist.toml``."""
    text = (ROOT / "tests" / "repo" / "checklist.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    return {name: Line(**row | {"proofs": tuple(row["proofs"])}) for name, row in rows.items()}


def format_table() -> str:
    """Write the table that the page shows."""
    lines = [START, "|---|---|---|---|---|"]
    for name, row in read_checklist().items():
        proofs = ", ".join(_shorten(row.proofs))
        lines.append(f"| {name} | {row.claim} | {row.acceptance} | {proofs} | {row.short} |")
    return "\n".join(lines).replace(">=", "≥").replace("<=", "≤") + "\n"


def _shorten(proofs: tuple[str, ...]) -> list[str]:
    """Name tests, benchmarks, and each tutorial once for both hosts."""
    found = {}
    for proof in proofs:
        path, _, name = proof.partition("::")
        if path.startswith("tutorials/"):
            stem = path.removeprefix("tutorials/").rpartition("_")[0]
            found[f"the tutorial *{stem}*"] = None
        else:
            found[f"`{name or path}`"] = None
    return list(found)


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").partition(START)[0]
    PAGE.write_text(head + format_table(), encoding="utf-8")
