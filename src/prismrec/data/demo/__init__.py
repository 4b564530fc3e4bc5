"""The embedded example: a small made-up shop with pictures, texts, customers and their tastes.

The program makes it from a seed, in memory (`make_shop`) or as ordinary files (`write_shop`). Tastes go by
attributes that pictures show and texts tell, so features help; the features come from the pictures and the texts
alone. Needs the extra `demo` (Pillow, scikit-learn) as soon as something is drawn or encoded.
"""

from prismrec.data.demo.shop import Item, Shop, ShopConfig, make_shop
from prismrec.data.demo.traits import Colour, Kind, Pattern, Style, Traits
from prismrec.data.demo.write import write_shop

__all__ = ["Colour", "Item", "Kind", "Pattern", "Shop", "ShopConfig", "Style", "Traits", "make_shop", "write_shop"]
