"""Be the file that BentoML imports in the bento, where it stands as service.py beside model/ and about.json."""

from pathlib import Path

from hearth.service import house_prices

HousePrices = house_prices(Path(__file__).parent)
