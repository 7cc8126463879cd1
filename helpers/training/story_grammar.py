"""The words and sentences that `stories` draws from: data, no code.

Slots: `{a.home}` is a fact of a character (`a` the hero, `b` the hero's best friend, `c` somebody
else), `{weather}` one entry of PHRASES. `stories` turns "a orchard" into "an orchard" and starts
sentences with a capital letter.
"""

# fmt: off
NAME_STARTS = (
    "Al Bel Bri Cor Dar El Fen Gar Hol Im Jo Ka Lu Mar Nel Or Pim Quil Ro Sel Tam Ul Ver Wil Yar Zin"
).split()
NAME_ENDS = (
    "a bo da di do fin gan ka kin la len li lo ma mi mo na ney ni no pa per ra ric rin ro sa sha sin so "
    "ta tin to va vin wen ya zo by dle"
).split()

SPECIES = (
    "badger beaver bear cat crow deer dog duck fox frog goat goose hare hedgehog heron mole mouse newt "
    "otter owl pig rabbit raven robin sheep sparrow squirrel stoat swan toad turtle wolf"
).split()
COLOURS = "black blue brown gold green grey orange pink purple red silver white yellow violet".split()
FOODS = (
    "apples beans berries bread carrots cheese cherries chestnuts corn grapes honey jam mushrooms nuts "
    "oats onions pancakes peaches pears pies plums porridge potatoes pumpkins radishes soup turnips walnuts"
).split()
TREASURES = (
    "anchor bell book bottle brush candle clock coin compass cup drum feather flute hammer harp kettle key "
    "kite ladder lamp lantern map marble mirror needle pearl pipe ring rope shell spoon star thimble whistle"
).split()
TRADES = (
    "baker barber brewer builder carpenter cook doctor farmer fiddler fisher gardener hunter juggler "
    "knitter miller painter piper postman potter printer sailor shepherd singer smith tailor teacher "
    "watchman weaver"
).split()
HOMES = (
    "barn|boat|castle|cave|cellar|chapel|cottage|ditch|forest|garden|harbour|haystack|hollow tree|hut|"
    "library|lighthouse|marsh|meadow|mill|nest|palace|quarry|shed|ship|stable|tent|tower|tunnel|valley|"
    "wagon|well|attic|inn|orchard|oak"
).split("|")

PHRASES = {
    "time": (
        "one {weather} morning|one {weather} evening|one day in spring|one day in winter|last summer|"
        "early on a {weather} day|late one night|just before dinner|on the first day of autumn|"
        "a long time ago|on a {weather} afternoon|when the leaves were falling|after the first snow"
    ).split("|"),
    "weather": "rainy|sunny|windy|foggy|cold|warm|quiet|stormy|bright|frosty|cloudy|snowy".split("|"),
    "mood": "sad|worried|tired|angry|afraid|lonely|upset|puzzled|very quiet|close to tears".split("|"),
    "joy": "happy|glad|proud|merry|cheerful|full of joy|as happy as could be|very pleased".split("|"),
    "place": (
        "under the bridge|behind the church|by the river|at the market|on top of the hill|beside the road|"
        "in the tall grass|near the old wall|between two stones|under a bench|at the edge of the wood|"
        "in the middle of the square|down by the lake|inside a hollow log|next to the pump"
    ).split("|"),
    "walk": (
        "walked|ran|hurried|went|wandered|crept|climbed|skipped|set off|marched".split("|")
    ),
    "said": "said|whispered|cried|answered|called|laughed|muttered|shouted|sighed".split("|"),
    "hour": "an hour|two hours|half a day|a whole day|three days|a week|a long while|one night".split("|"),
    "gift": "a basket of {a.food}|a bowl of {a.food}|a plate of {a.food}|a sack of {a.food}".split("|"),
    "intro": (
        "{a.name} the {a.species} lived in a {a.home}|"
        "in a {a.home} lived a {a.species} called {a.name}|"
        "there once was a {a.species} named {a.name}, who lived in a {a.home}|"
        "{a.name} was a {a.species}, and {a.name} lived in a {a.home}|"
        "in a {a.home} lived {a.name} the {a.species}"
    ).split("|"),
    "detail": (
        "{a.name} was a {a.trade} and wore a {a.colour} hat.|"
        "{a.name} always wore a {a.colour} hat and worked as a {a.trade}.|"
        "everybody knew {a.name} the {a.trade} by the {a.colour} hat.|"
        "most of all {a.name} loved {a.food}.|"
        "{a.name} could eat {a.food} all day long.|"
        "{a.name} had one treasure, a {a.treasure}, and kept it safe.|"
        "the dearest thing that {a.name} owned was a {a.treasure}.|"
        "{a.name} worked hard as a {a.trade}, and after work it was time for {a.food}.|"
        "the hat of {a.name} was {a.colour}, and so was the door.|"
        "{a.name} and {b.name} were best friends.|"
        "the best friend of {a.name} was {b.name} the {b.species}."
    ).split("|"),
    "friend_in": (
        "{a.name} asked {b.name} the {b.species} for help.|"
        "then {b.name} came by, the best friend of {a.name}.|"
        "\"I will ask my best friend, {b.name},\" {said} {a.name}.|"
        "{a.name} {walk} to the {b.home} where {b.name} lived.|"
        "there was only one thing to do: {a.name} went to find {b.name} the {b.trade}.|"
        "{b.name} put on the {b.colour} hat and came at once to help {a.name}."
    ).split("|"),
    "stranger_in": (
        "on the way they met {c.name} the {c.species}, who lived in a {c.home}.|"
        "{c.name} the {c.trade} came along the road in a {c.colour} hat.|"
        "a {c.species} sat {place} and ate {c.food}. It was {c.name}.|"
        "\"have you asked {c.name} the {c.trade}?\" {said} a small voice.|"
        "just then {c.name} came by with a {c.treasure} under one arm.|"
        "{place} stood {c.name}, a {c.species} with a {c.colour} hat."
    ).split("|"),
    "end": (
        "they ate {a.food} until the stars came out.|"
        "that night {a.name} slept well in the {a.home}.|"
        "{b.name} laughed, and {a.name} was {joy}.|"
        "and from that day on {a.name} and {b.name} met every week.|"
        "{a.name} gave {b.name} {gift} to say thank you.|"
        "everyone was {joy}, and {a.name} went home to the {a.home}.|"
        "\"a friend is worth more than a {a.treasure},\" {said} {a.name}.|"
        "then {a.name} the {a.trade} went back to work, {joy}.|"
        "the {a.species} and the {b.species} danced {place}."
    ).split("|"),
}

# A plot is a list of sentences to write in order; of each, one of its variants is chosen.
PLOTS = (
    (  # the treasure is lost
        ("{time}, something was missing. {intro}.", "{intro}.", "{intro}. {detail}"),
        ("{detail}", "{detail} {detail}"),
        (
            "{time}, the {a.treasure} was gone.",
            "but {time} {a.name} could not find the {a.treasure}.",
            "{time}, a thief took the {a.treasure} of {a.name}.",
        ),
        (
            "{a.name} was {mood} and looked {place}.",
            '"where is my {a.treasure}?" {said} {a.name}, {mood}.',
            "{a.name} looked for {hour} and found nothing.",
        ),
        ("{friend_in}",),
        ("{stranger_in}", "they looked {place} and they looked {place}.", "{stranger_in} But {c.name} had not seen it."),
        (
            "at last {b.name} found the {a.treasure} {place}.",
            "and there it was, {place}: the {a.treasure}!",
            '"look, here is your {a.treasure}," {said} {b.name}.',
        ),
        ("{end}",),
    ),
    (  # a journey
        ("{intro}. {detail}", "{intro}.", "{detail} {intro}."),
        (
            "{time}, {a.name} wanted to see the {c.home} where {c.name} the {c.species} lived.",
            "{time}, a letter came from {c.name} the {c.trade}. \"Come and visit me in a {c.home},\" it said.",
        ),
        ("{friend_in}", "{a.name} packed some {a.food} and put on a {a.colour} hat."),
        (
            "the road was long, and it took them {hour}.",
            "they {walk} for {hour} and rested {place}.",
            "{place} they lost the way and were {mood}.",
        ),
        (
            "{c.name} was {joy} to see them and gave them {c.food}.",
            "in the {c.home} they found {c.name}, who showed them a {c.treasure}.",
            '"come in and have some {c.food}," {said} {c.name} the {c.species}.',
        ),
        ("{end}",),
    ),
    (  # a quarrel
        ("{a.name} and {b.name} were best friends. {a.name} was a {a.species} and {b.name} a {b.species}.", "{intro}. The best friend of {a.name} was {b.name}."),
        ("{detail}", "{b.name} lived in a {b.home} and loved {b.food}.", "{b.name} was a {b.trade} with a {b.colour} hat."),
        (
            "{time}, they had a quarrel about some {a.food}.",
            "{time}, {b.name} broke the {a.treasure} of {a.name}.",
            '{time}, {a.name} {said}, "I do not like your {b.colour} hat."',
        ),
        ("{b.name} went home to the {b.home}, {mood}.", "for {hour} they did not speak.", "{a.name} sat {place} and was {mood}."),
        ("{stranger_in}", "{stranger_in} \"Go and say that you are sorry,\" {said} {c.name}."),
        (
            '"I am sorry," {said} {a.name}, and {b.name} {said} it too.',
            "{a.name} brought {b.name} some {b.food}, and all was well.",
            "{b.name} came back with {gift}.",
        ),
        ("{end}",),
    ),
    (  # a party
        ("{intro}. {detail}", "{detail} {intro}."),
        ("{time}, it was the birthday of {a.name}.", "{time}, {a.name} gave a party {place}."),
        (
            "{b.name} the {b.species} brought {b.food}, and {c.name} the {c.species} brought {c.food}.",
            "{c.name} came from a {c.home}, and {b.name} came from a {b.home}.",
            "{c.name} the {c.trade} wore a {c.colour} hat, and {b.name} the {b.trade} a {b.colour} one.",
        ),
        (
            "what did {a.name} get? A new {a.treasure} from {b.name}.",
            "{c.name} showed everyone a {c.treasure}.",
            "they sang for {hour}, and {b.name} {said}, \"This is the best party of all.\"",
        ),
        ("{end}",),
    ),
    (  # a danger
        ("{intro}.", "{intro}. {detail}"),
        ("{time}, there was a fire in the {a.home}.", "{time}, the water came up to the {a.home}.", "{time}, a great storm blew over the {a.home}."),
        ('"help!" {said} {a.name} the {a.species}.', "{a.name} was {mood} and took only the {a.treasure}."),
        ("{friend_in}", "{friend_in} {stranger_in}"),
        (
            "{c.name} the {c.trade} came running from a {c.home}.",
            "with a {b.treasure} in one hand, {b.name} pulled {a.name} out.",
            "{b.name} the {b.trade} knew what to do.",
        ),
        ("after {hour} the danger was over.", "in the end nothing was lost but the {a.colour} hat."),
        ("{end}",),
    ),
    (  # a trade
        ("{a.name} the {a.trade} was hungry. {intro}.", "{intro}. {detail}"),
        ("{time}, {a.name} {walk} to the market to buy {a.food}.", "{time}, there were no {a.food} left."),
        ("{stranger_in}",),
        (
            '"I will give you {c.food} for your {a.treasure}," {said} {c.name}.',
            '"your {a.treasure} for my {c.treasure}?" {said} {c.name} the {c.species}.',
        ),
        (
            '"never!" {said} {a.name}. "I love my {a.treasure}."',
            "{a.name} thought for {hour} and was {mood}.",
        ),
        ("{friend_in}", "{b.name} the {b.species} came with {b.food} and gave them all away."),
        ("{end}",),
    ),
    (  # who is it?
        ("who lives in a {a.home}? It is {a.name} the {a.species}.", "who wears a {a.colour} hat? It is {a.name} the {a.trade}.", "who has a {a.treasure}? It is {a.name} the {a.species}."),
        ("what does {a.name} eat? {a.name} eats {a.food}.", "what does {a.name} do? {a.name} is a {a.trade}.", "who is the best friend of {a.name}? It is {b.name}."),
        ("and {b.name}, the best friend? {b.name} is a {b.species} and lives in a {b.home}.", "{b.name} has a {b.colour} hat and eats {b.food}.", "{b.name} is a {b.trade} and keeps a {b.treasure}."),
        ("and {c.name}? {c.name} is a {c.species} and lives in a {c.home}.", "{c.name} has a {c.colour} hat and eats {c.food}.", "{c.name} is a {c.trade} and keeps a {c.treasure}."),
        ("{time}, they all met {place}.", "{time}, {c.name} came to see {a.name}."),
        ("{end}",),
    ),
    (  # two strangers meet
        ("{time}, two strangers met {place}.", "{time}, a {a.species} and a {c.species} met {place}."),
        (
            '"I am {a.name} the {a.species}," {said} the first. "I live in a {a.home}."',
            '"My name is {a.name}," {said} the {a.species}. "I am a {a.trade} and live in a {a.home}."',
        ),
        (
            '"and I am {c.name} the {c.species}. I live in a {c.home}," {said} the other.',
            '"my name is {c.name}. I am a {c.trade} and live in a {c.home}," {said} the {c.species}.',
        ),
        (
            '"your {a.colour} hat is pretty," {said} {c.name}. "So is your {c.colour} one," {said} {a.name}.',
            "they ate {a.food}, which {a.name} loved, and {c.food}, which {c.name} loved.",
            "{a.name} showed the {a.treasure}, and {c.name} showed the {c.treasure}.",
        ),
        (
            '"who is your best friend?" {said} {c.name}. "It is {b.name}," {said} {a.name}. "{b.name} is a {b.species}."',
            '"do you know {b.name} the {b.trade}?" {said} {a.name}. "{b.name} lives in a {b.home}."',
        ),
        ("{end}",),
    ),
)  # fmt: skip

# Unfinished sentences whose next words are the fact; each pattern occurs in the stories above.
PROBES = {
    "species": "In {a.home} lived {a.name} the",
    "home": "{a.name} the {a.species} lived in",
    "colour": "{a.name} the {a.species} lived in a {a.home}. The hat of {a.name} was",
    "treasure": "{a.name} the {a.species} lived in a {a.home}. {a.name} had one treasure,",
    "food": "{a.name} the {a.species} lived in a {a.home}. Most of all {a.name} loved",
    "trade": "{a.name} the {a.species} lived in a {a.home}. {a.name} was a",
    "friend": "{a.name} the {a.species} lived in a {a.home}. The best friend of {a.name} was",
}
