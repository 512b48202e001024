"""The settings of the documentation site: `make docs` builds it from the pages of this folder, fetching nothing."""

import sys
from pathlib import Path

import ocuseg

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ocuseg"
author = "The ocuseg developers"
copyright = author
version = release = ocuseg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "repository_pages", "python_reference", "accessible_pages"]
exclude_patterns = ["_ext", "_static"]
highlight_language = "none"
smartquotes = False

# Headings have the anchors that the repository page gives them.
myst_heading_anchors = 4

# Docstrings write code as `code`.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"ocuseg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5f7a", "color-brand-content": "#0b5f7a"},
    "dark_css_variables": {"color-brand-primary": "#6cc5e0", "color-brand-content": "#6cc5e0"},
}
