"""No file that is read can run code: nothing is unpickled, evaluated or loaded as objects."""

import ast

import pytest

from tests.repo.source import ROOT, dotted, parse, tracked_files

CODE = tracked_files("ppl_ext/*.py", "models/*.py")
# Programs of their own, packed and sent to their own processes, or told apart; never from a file.
PICKLES = {"ppl_ext.simulation.engine", "ppl_ext.numpyro.tracing.fingerprint"}
MODULES = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib.load"}


def list_risks(tree: ast.AST, module: str = "") -> list[int]:
    """Lines that read objects or code out of data."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and module not in PICKLES:
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += [node.lineno] if names & MODULES else []
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        risky = (
            called in ("eval", "exec", "compile", "read_pickle")
            or called.endswith((".read_pickle", "joblib.load"))
            or options.get("allow_pickle", "False") != "False"
            or (called == "torch.load" and options.get("weights_only") != "True")
            or (called == "yaml.load" and options.get("Loader") not in SAFE_LOADERS)
        )
        found += [node.lineno] if risky else []
    return found


SAFE_LOADERS = {"yaml.SafeLoader", "_HeaderLoader"}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from marshal import loads",
        "value = eval(text)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "pandas.read_pickle(path)",
    ],
)
def test_risks_are_found(line):
    assert list_risks(ast.parse(line)) == [1]


def test_what_is_safe_is_no_risk():
    safe = "np.load(path, allow_pickle=False); torch.load(path, weights_only=True); net.eval()"
    assert not list_risks(ast.parse(safe))


def test_the_loader_of_headers_is_a_safe_one():
    tree = parse(ROOT / "models/exoplanet/text_tables.py")
    (loader,) = (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)
                 and each.name == "_HeaderLoader")  # fmt: skip
    assert [ast.unparse(each) for each in loader.bases] == ["yaml.SafeLoader"]


def test_no_file_runs_code():
    found = [
        f"{dotted(path)}:{line}" for path in CODE for line in list_risks(parse(path), dotted(path))
    ]
    assert not found
