"""Short texts of four domains, for a model that nobody has given prompts for.

In every domain each other text ends a sentence and the rest stop within one, so that prompts of one
domain do not all end in one token and those of different domains do not all differ in it.
"""

TEXTS: dict[str, tuple[str, ...]] = {
    "stories": (
        "Once upon a time there was a girl who kept a small boat under the willow tree.",
        "Every evening the baker left a warm loaf on the wall for the boy who",
        "The old man opened the door, and a cold wind blew all his letters across the floor.",
        "When the rain stopped, Anna ran into the garden and found that her kite",
        "Tom wanted to see the sea, so he packed two apples and walked down the hill.",
        "The fox looked at the bridge, then at the river, and decided to",
        "The dog barked at the moon until the whole street was awake and laughing.",
        "Grandmother smiled, put down her cup and told them about the winter when the",
    ),
    "facts": (
        "Water boils at a lower temperature on a mountain, because the air presses on it less.",
        "Plants take in carbon dioxide from the air and, with the light of the",
        "The heart of a blue whale weighs about as much as a small car.",
        "The longest river of the continent rises in the mountains of the north and flows",
        "Copper conducts electricity well and is drawn into wire in most countries of the world.",
        "Bees find their way back to the hive by the position of the sun and",
        "The moon turns once around its axis in the time it takes to go around the earth.",
        "Iron rusts when it meets oxygen and water, while gold and platinum do",
    ),
    "law": (
        "The tenant shall return the premises in good repair at the end of the term.",
        "Either party may terminate this agreement upon thirty days of written notice to the",
        "The court held that the contract was void, as neither party had agreed to the price.",
        "The defendant submits that the statement was made in good faith and that no",
        "No person shall be held liable for a loss that could not have been foreseen.",
        "Subject to the provisions of this section, the trustee may sell any part of the",
        "The appeal was dismissed with costs, and the order of the lower court was affirmed.",
        "The burden of proof rests with the claimant, who must show that the",
    ),
    "code": (
        "def area(width, height):\n    # The area of a rectangle in square metres.",
        "def read(path):\n    with open(path) as file:\n        return file.read(",
        "for name in names:\n    print(name)\n# Names that are empty were left out above.",
        "if index < len(values) and values[index] > limit:\n    values[index] = limit\nindex +=",
        "while queue:\n    item = queue.pop()\n    # An item that was seen before is skipped.",
        "class Stack:\n    def push(self, item):\n        self.items.append(item)\n        self.",
        "total = sum(prices)\n# The tax is added when the order is closed.",
        "result = {}\nfor key, value in pairs:\n    result[key] = result.get(key, 0) + value\nif",
    ),
}
"""Texts by domain."""
