"""How the documentation is built: ``make docs``."""

import os
import sys
from pathlib import Path

import jupytext
import nbformat

import ppl_ext

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from host_links import write_inventories  # noqa: E402

TUTORIALS = HERE / "tutorials"  # made here, not tracked
# As in a script, what a line returns is not shown unless it is printed.
AS_A_SCRIPT = "get_ipython().ast_node_interactivity = 'none'"
# Some tutorials take a worked model from the clone.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
)
HIDDEN = {"tags": ["remove-cell"]}

project = "ppl_ext"
author = "the ppl_ext developers"
project_copyright = author
version = release = ppl_ext.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "sphinx_codeautolink",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "py:obj"

# The docstrings of the package say what there is, in the order of the source.
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and meanings stand in the docstrings
autodoc_preserve_defaults = True
# What a class inherits from another of ours is documented, what it has from its host is not.
autodoc_default_options = {
    "members": True,
    "inherited-members": "AutoGuide, PyroModule, Module, ELBO, Distribution, "
    "TorchDistribution, TorchDistributionMixin, Transform, BaseException, object",
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Names in examples lead to their pages: ours, the hosts' and ArviZ's.
intersphinx_mapping = write_inventories(HERE / "_build" / "inventories")
codeautolink_concat_default = True  # an example goes on from the one before
# An example whose doctest flags Sphinx has taken off is no longer what the source says.
suppress_warnings = ["codeautolink.match_block"]

# Tutorials are programs; their pages are made by running them.
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1800  # the longest cell trains a GAN
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars

html_theme = "furo"
html_title = "ppl_ext"
html_show_sphinx = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1b5e8c", "color-brand-content": "#1b5e8c"},
    "dark_css_variables": {"color-brand-primary": "#7fb8de", "color-brand-content": "#7fb8de"},
}


def make_notebooks() -> None:
    """Turn the percent scripts into notebooks that Sphinx can run."""
    TUTORIALS.mkdir(exist_ok=True)
    for stale in TUTORIALS.glob("*.ipynb"):
        stale.unlink()
    for script in sorted((HERE.parent / "tutorials").glob("*.py")):
        notebook = jupytext.read(script)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(AS_A_SCRIPT, metadata=HIDDEN))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        # What a run would add; pages that are built without one need it too.
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "python"}
        jupytext.write(notebook, TUTORIALS / f"{script.stem}.ipynb")


make_notebooks()
