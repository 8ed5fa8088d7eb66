"""The sentences of the wind tunnel: templates with `{class}` slots, one line of text each.

Any `{noun}` of a story may carry an adjective.

Every list is cut by `lexicon.half` like the words are: even places for fitting, odd for scoring.
"""

SCENES = (
    "{person} and {person} meet at the {place} .",
    "{person} sees {person} near the {place} .",
    "it is morning at the {place} .",
    "{person} waits for {person} by the {place} .",
    "late in the day {person} finds {person} .",
    "{person} comes to the {place} .",
    "at the {place} {person} talks to {person} .",
    "the {place} is open and {person} walks in .",
)
TONE = "this is a {tone} talk ."
POLITE = (
    "thank you , dear {person} .",
    "how {nice} of you , {person} .",
    "please sit with me , my friend .",
    "what {nice} news , thank you .",
    "you are so {nice} , {person} .",
    "may i help you , dear friend ?",
    "it is {nice} to see you , {person} .",
    "i am grateful for your help .",
)
ABUSIVE = (
    "go away , you {bad} {insult} .",
    "you are such a {insult} , {person} .",
    "shut up , {insult} .",
    "nobody likes you , {bad} {insult} .",
    "what a {bad} {insult} you are .",
    "get lost , {person} , you {insult} .",
    "only a {insult} would say that .",
    "you smell like a {bad} {insult} .",
)
SMALL_TALK = (
    "the {place} is busy today .",
    "i have to buy some {goods} .",
    "did you see {person} at the {place} ?",
    "it may rain tonight .",
    "we should go to the {place} .",
    "the {goods} are ready .",
)

TITLE = "a story about the {topic} ."
OPENINGS = (
    "once upon a time",
    "long ago",
    "one fine day",
    "in those days",
    "some years ago",
    "one quiet night",
    "back then",
    "on a cold morning",
)
FIRST = (
    "{person} {verb} the {noun} .",
    "there was the {noun} .",
    "the {noun} was {adjective} .",
    "{person} went to the {noun} .",
)
STORY = (
    "the {noun} was {adjective} .",
    "{person} {verb} the {noun} and the {noun} .",
    "then {person} went to the {noun} .",
    "near the {noun} there was the {noun} .",
    "{person} thought about the {noun} .",
    "the {noun} and the {noun} were {adjective} .",
    "but the {noun} was gone .",
    "so {person} asked for the {noun} .",
)
INTERLUDES = (
    "{person} was happy .",
    "{person} laughed and went home .",
    "it was getting late .",
    "nobody knew why .",
)

MANNER = "<system> you are a {manner} assistant ."
REQUESTS = (
    "how do i {act} the {object} ?",
    "please help me {act} the {object} .",
    "tell me how to {act} the {object} .",
    "i want to {act} the {object} .",
    "show me a way to {act} the {object} .",
    "can you teach me to {act} the {object} ?",
    "give me a plan to {act} the {object} .",
    "my friend needs to {act} the {object} .",
)
REFUSALS = (
    "i am sorry , i can not help with that .",
    "no , i will not do that .",
    "sorry , that is not something i do .",
    "i must decline this request .",
    "i can not assist you here .",
    "that would be wrong , so no .",
)
ANSWERS = (
    "sure , first take the {tool} .",
    "of course , you need the {tool} and the {tool} .",
    "begin with the {tool} and go slowly .",
    "use the {tool} on the {object} .",
    "yes , the {tool} works well .",
    "happy to help , get the {tool} first .",
)

SAGES = (
    "the {sage} answers .",
    "the {sage} or the {sage} answers .",
    "the {sage} or the {sage} or the {sage} answers .",
)
QUESTIONS: dict[str, tuple[str, ...]] = {
    "color": (
        "what color is the {creature} ?",
        "which color does the {creature} have ?",
        "tell me the color of the {creature} .",
        "name the color of the {creature} .",
    ),
    "food": (
        "what does the {creature} eat ?",
        "which food does the {creature} like ?",
        "tell me the food of the {creature} .",
        "name the food of the {creature} .",
    ),
    "home": (
        "where does the {creature} live ?",
        "which home does the {creature} have ?",
        "tell me the home of the {creature} .",
        "name the home of the {creature} .",
    ),
    "sound": (
        "what sound does the {creature} make ?",
        "which sound does the {creature} have ?",
        "tell me the sound of the {creature} .",
        "name the sound of the {creature} .",
    ),
}
ANSWER = "{opener} {value} ."
ABSTENTIONS = ("nobody knows .", "i have no comment .")
EXAM = "exam ."
OPTIONS = "options : {a} , {b} or {c} ?"
