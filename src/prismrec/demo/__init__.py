"""A small synthetic shop with pictures, texts and customers, as example data.

`make_shop` generates the shop in memory, and `write_shop` writes it as files; both start from a seed. Customers choose
products by attributes that pictures and texts show in part, so features help to recommend. The built-in encoders of
`prismrec.content` compute the features, from the pictures and the texts alone. Pictures and features need the extra
`demo` (Pillow, scikit-learn).
"""

from prismrec.demo.shop import Item, Shop, ShopConfig, make_shop
from prismrec.demo.traits import Colour, Kind, Pattern, Style, Traits
from prismrec.demo.write import write_shop

__all__ = ["Colour", "Item", "Kind", "Pattern", "Shop", "ShopConfig", "Style", "Traits", "make_shop", "write_shop"]
