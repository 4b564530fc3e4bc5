"""A run over HTTP: the questions of `prismrec.retrieval` as an API, and a page to look at the answers."""

from prismrec.serving.app import create_app
from prismrec.serving.offline import offline_page
from prismrec.serving.server import read_token, serve
from prismrec.serving.settings import Limits, ServerSettings

__all__ = ["Limits", "ServerSettings", "create_app", "offline_page", "read_token", "serve"]
