"""Sphinx's configuration of the site. `make site` (tools/site.py) gathers the sources and runs it."""

import os

REPO = os.environ.get("SITE_REPO", "OWNER/REPO")  # set by tools/site.py
HUB = os.environ.get("SITE_HUB")  # a school's JupyterHub with nbgitpuller; its button opens notebooks there
STAMPED = not REPO.startswith("OWNER/")

project = html_title = "From Bits to GGUF"
extensions = ["myst_nb"]
language = "en"

nb_execution_mode = "off"  # the outputs are those stored in the notebooks
myst_heading_anchors = 4  # links name headings as GitHub does
myst_enable_extensions = []  # a dollar is a dollar
myst_links_external_new_tab = False
highlight_language = "none"
smartquotes = False  # the text as it was written

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_show_sphinx = False
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search stands in the sidebar
    "footer_content_items": ["extra-footer"],
    "extra_footer": "Code under Apache-2.0, text and figures under CC BY 4.0.",
}
if STAMPED:  # a button to an address that does not exist helps nobody
    html_theme_options |= {
        "repository_url": f"https://github.com/{REPO}",
        "repository_branch": os.environ["SITE_VERSION"],
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com", "notebook_interface": "jupyterlab"},
    }
    if HUB:
        html_theme_options["launch_buttons"]["jupyterhub_url"] = HUB
