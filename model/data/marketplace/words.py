"""The words that the marketplace's titles are made of, and which shelf goes with which.

Read by `goods`.  All brands are invented.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shelf:
    """A subcategory: what stands on it, what it costs in the middle, and where a buyer looks next."""

    name: str
    kinds: tuple[str, ...]
    price: float
    goes_with: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Department:
    """A category, with the brands and the adjectives of its trade."""

    name: str
    brands: tuple[str, ...]
    adjectives: tuple[str, ...]
    shelves: tuple[Shelf, ...]


def _shelf(name: str, price: float, kinds: str, first: str, second: str) -> Shelf:
    return Shelf(name, tuple(kinds.split(", ")), price, (first, second))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_KITCHEN = Department(
    "Kitchen",
    _words("Brasa, Nordkök, Tillwell, Fernham, Oyuki, Casa Lume, Pembrick, Saltmill"),
    _words("Enamelled, Cast-Iron, Stainless, Non-Stick, Compact, Hand-Forged, Copper, Stoneware, Classic, Slim"),
    (
        _shelf(
            "Coffee & Tea",
            32,
            "French Press, Coffee Grinder, Pour-Over Dripper, Teapot, Milk Frother, Moka Pot",
            "Tableware",
            "Small Appliances",
        ),
        _shelf(
            "Cookware",
            58,
            "Frying Pan, Saucepan, Casserole, Wok, Stockpot, Grill Pan",
            "Knives & Boards",
            "Bakeware",
        ),
        _shelf(
            "Knives & Boards",
            41,
            "Chef's Knife, Bread Knife, Paring Knife, Cutting Board, Knife Block, Sharpening Stone",
            "Cookware",
            "Tableware",
        ),
        _shelf(
            "Bakeware",
            22,
            "Loaf Tin, Muffin Tray, Cake Ring, Mixing Bowl, Rolling Pin, Cooling Rack",
            "Small Appliances",
            "Cookware",
        ),
        _shelf(
            "Tableware",
            27,
            "Dinner Plate Set, Soup Bowl, Cutlery Set, Serving Platter, Tumbler Set, Espresso Cups",
            "Coffee & Tea",
            "Candles & Decor",
        ),
        _shelf(
            "Small Appliances",
            79,
            "Hand Blender, Toaster, Electric Kettle, Stand Mixer, Waffle Maker, Rice Cooker",
            "Bakeware",
            "Coffee & Tea",
        ),
    ),
)

_OUTDOORS = Department(
    "Outdoors",
    _words("Ridgeway, Talus, Alpenkar, Stormcrow, Kettle Creek, Fjellvind, Packhorse, Longstride"),
    _words("Ultralight, Waterproof, Four-Season, Trail, Insulated, Rugged, Foldable, Breathable, Alpine, Weekend"),
    (
        _shelf(
            "Tents",
            189,
            "Dome Tent, Tunnel Tent, Bivy Shelter, Tarp, Family Tent, Tent Footprint",
            "Sleeping Gear",
            "Camp Kitchen",
        ),
        _shelf(
            "Sleeping Gear",
            84,
            "Sleeping Bag, Sleeping Mat, Camp Pillow, Hammock, Bag Liner, Down Quilt",
            "Tents",
            "Backpacks",
        ),
        _shelf(
            "Hiking Footwear",
            118,
            "Hiking Boots, Trail Shoes, Approach Shoes, Hiking Sandals, Gaiters, Merino Socks",
            "Backpacks",
            "Cycling",
        ),
        _shelf(
            "Backpacks",
            95,
            "Daypack, Trekking Pack, Hydration Pack, Duffel Bag, Rain Cover, Dry Bag",
            "Hiking Footwear",
            "Camp Kitchen",
        ),
        _shelf(
            "Camp Kitchen",
            36,
            "Gas Stove, Cook Set, Vacuum Flask, Water Filter, Spork Set, Cool Box",
            "Tents",
            "Barbecue",
        ),
        _shelf(
            "Cycling",
            64,
            "Cycling Helmet, Bike Light, Pannier Bag, Floor Pump, Bike Lock, Cycling Gloves",
            "Hiking Footwear",
            "Headphones",
        ),
    ),
)

_HOME = Department(
    "Home",
    _words("Lindgarten, Maison Roe, Wickerby, Hush & Hollow, Aldermoor, Studio Klee, Cottonfield, Nestora"),
    _words("Linen, Oak, Velvet, Minimalist, Handwoven, Scandinavian, Bamboo, Adjustable, Vintage, Reversible"),
    (
        _shelf(
            "Bedding",
            68,
            "Duvet Cover, Fitted Sheet, Pillowcase Set, Weighted Blanket, Quilt, Mattress Topper",
            "Lighting",
            "Rugs",
        ),
        _shelf(
            "Lighting",
            54,
            "Desk Lamp, Floor Lamp, Pendant Light, Bedside Lamp, Wall Sconce, String Lights",
            "Desks & Chairs",
            "Candles & Decor",
        ),
        _shelf(
            "Storage",
            31,
            "Storage Basket, Shoe Rack, Wardrobe Organiser, Wall Shelf, Storage Bench, Drawer Divider",
            "Desks & Chairs",
            "Bedding",
        ),
        _shelf(
            "Rugs",
            112,
            "Runner Rug, Area Rug, Bath Mat, Door Mat, Sheepskin Rug, Jute Rug",
            "Candles & Decor",
            "Storage",
        ),
        _shelf(
            "Candles & Decor",
            24,
            "Scented Candle, Candle Holder, Vase, Picture Frame, Wall Mirror, Table Clock",
            "Lighting",
            "Pots & Planters",
        ),
        _shelf(
            "Desks & Chairs",
            174,
            "Standing Desk, Office Chair, Writing Desk, Desk Stool, Footrest, Monitor Stand",
            "Keyboards & Mice",
            "Lighting",
        ),
    ),
)

_ELECTRONICS = Department(
    "Electronics",
    _words("Voltara, Quillon, Lumenix, Otto & Ray, Kaishin, Bitward, Sonorel, Northgrid"),
    _words("Wireless, Foldaway, Mechanical, Pocket, 4K, Rechargeable, Bluetooth, Slimline, Dual, Silent"),
    (
        _shelf(
            "Headphones",
            92,
            "Headphones, Earbuds, Gaming Headset, Studio Headphones, Headphone Stand, Running Earphones",
            "Phone Accessories",
            "Speakers",
        ),
        _shelf(
            "Phone Accessories",
            19,
            "Phone Case, Charging Cable, Power Bank, Car Mount, Screen Protector, Charging Pad",
            "Headphones",
            "Smart Home",
        ),
        _shelf(
            "Keyboards & Mice",
            66,
            "Keyboard, Mouse, Trackball, Wrist Rest, Numeric Keypad, Mouse Mat",
            "Desks & Chairs",
            "Cameras",
        ),
        _shelf(
            "Cameras",
            240,
            "Action Camera, Webcam, Tripod, Camera Strap, Instant Camera, Lens Kit",
            "Backpacks",
            "Keyboards & Mice",
        ),
        _shelf(
            "Speakers",
            103,
            "Bookshelf Speaker, Soundbar, Shower Speaker, Turntable, Party Speaker, Subwoofer",
            "Headphones",
            "Smart Home",
        ),
        _shelf(
            "Smart Home",
            48,
            "Smart Plug, Smart Bulb, Doorbell Camera, Thermostat, Motion Sensor, Robot Vacuum",
            "Lighting",
            "Speakers",
        ),
    ),
)

_GARDEN = Department(
    "Garden",
    _words("Mossbank, Greenhalgh, Rook & Thistle, Terrano, Hollowbrook, Solveig, Dibber & Sons, Emberline"),
    _words("Weatherproof, Heirloom, Galvanised, Terracotta, Rustic, Charcoal, Teak, Frost-Hardy, Sturdy, Cosy"),
    (
        _shelf(
            "Seeds & Bulbs",
            9,
            "Tomato Seeds, Wildflower Mix, Tulip Bulbs, Herb Seeds, Sunflower Seeds, Salad Seeds",
            "Pots & Planters",
            "Watering",
        ),
        _shelf(
            "Pots & Planters",
            26,
            "Plant Pot, Window Box, Hanging Basket, Raised Bed, Plant Stand, Seed Tray",
            "Seeds & Bulbs",
            "Candles & Decor",
        ),
        _shelf(
            "Garden Tools",
            34,
            "Secateurs, Hand Trowel, Garden Fork, Hedge Shears, Leaf Rake, Pruning Saw",
            "Seeds & Bulbs",
            "Watering",
        ),
        _shelf(
            "Watering",
            29,
            "Watering Can, Garden Hose, Lawn Sprinkler, Drip Kit, Hose Reel, Rain Barrel",
            "Garden Tools",
            "Pots & Planters",
        ),
        _shelf(
            "Barbecue",
            137,
            "Kettle Barbecue, Pizza Oven, Barbecue Tongs, Fire Pit, Smoker, Grill Brush",
            "Garden Furniture",
            "Knives & Boards",
        ),
        _shelf(
            "Garden Furniture",
            156,
            "Deck Chair, Bistro Set, Garden Bench, Parasol, Lounger, Hanging Chair",
            "Barbecue",
            "Lighting",
        ),
    ),
)

_PETS = Department(
    "Pets & Play",
    _words("Wagtail, Purrington, Bramble & Bone, Tinkerloft, Pixmill, Kobold Games, Humble Hound, Little Otter"),
    _words("Wooden, Plush, Travel, Washable, Magnetic, Interactive, Rainbow, Colourful, Grain-Free, Beginner's"),
    (
        _shelf(
            "Dogs",
            28,
            "Dog Bed, Dog Harness, Chew Toy, Dog Lead, Dog Biscuits, Slow Feeder",
            "Cats",
            "Hiking Footwear",
        ),
        _shelf(
            "Cats",
            25,
            "Scratching Post, Cat Tree, Cat Litter Box, Feather Wand, Cat Tunnel, Drinking Fountain",
            "Dogs",
            "Rugs",
        ),
        _shelf(
            "Board Games",
            33,
            "Strategy Game, Party Game, Card Game, Chess Set, Word Game, Dice Tower",
            "Puzzles",
            "Building Toys",
        ),
        _shelf(
            "Puzzles",
            17,
            "1000-Piece Puzzle, Floor Puzzle, Puzzle Cube, Puzzle Board, Brain Teaser, Crystal Puzzle",
            "Board Games",
            "Art Supplies",
        ),
        _shelf(
            "Building Toys",
            45,
            "Brick Set, Marble Run, Train Set, Model Kit, Stacking Blocks, Robot Kit",
            "Board Games",
            "Art Supplies",
        ),
        _shelf(
            "Art Supplies",
            21,
            "Watercolour Set, Sketchbook, Acrylic Paints, Easel, Brush Set, Coloured Pencils",
            "Puzzles",
            "Desks & Chairs",
        ),
    ),
)

DEPARTMENTS: tuple[Department, ...] = (_KITCHEN, _OUTDOORS, _HOME, _ELECTRONICS, _GARDEN, _PETS)
