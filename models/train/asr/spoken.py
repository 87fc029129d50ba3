"""Sentences as people say them on air, from templates: what dictionaries and quotations lack."""

TOPICS = """the weather; local politics; the history of bread; how bridges are built; the night sky; small gardens;
cooking with children; long distance running; old maps; the price of housing; public libraries; the football season;
learning a language; the science of sleep; climate change; money and marriage; mental health; jazz music; space travel;
the stock market; electric cars; artificial intelligence; online privacy; the future of work; ancient rome; family life;
classical music; healthy eating; video games; the film industry; crime fiction; good coffee; bird watching; small business;
technology news; the human brain; religion and doubt; travel on a budget; the sea; home repair; chess; vaccines; volcanoes;
startups and investors; modern art; the housing crisis; the election; the national team; open source software; photography""".replace("\n", " ")
PLACES = """london; new york; the studio; chicago; a small town in france; the east coast; the university; the hospital;
a village near the border; the office; our kitchen; the museum; california; the north of england; the city hall;
the laboratory; the stadium; a farm in the valley; berlin; the station; the harbour; the mountains""".replace("\n", " ")
PEOPLE = """my guest; our producer; the mayor; a doctor from the hospital; my sister; the coach; a listener; an engineer;
the author of the book; a teacher; my old friend; the reporter; a scientist; one of our neighbours; the chef;
the director; somebody at work; the professor; a young musician; the captain; my colleague""".replace("\n", " ")
NAMES = """john; mary; david; sarah; michael; anna; james; emma; robert; linda; daniel; laura; peter; alice; thomas; julia;
mark; helen; george; kate; paul; susan; steven; karen; brian; nancy; kevin; rachel; simon; claire""".replace("\n", " ")
TIMES = """today; this week; tonight; last year; in the morning; after the break; next week; on monday; every friday;
at the weekend; in the nineties; twenty years ago; a few months back; in a minute; later on; right now; on tuesday;
this afternoon; in the last hour; three times a day; for half an hour; until midnight""".replace("\n", " ")
NUMBERS = """two; three; four; five; six; seven; eight; nine; ten; eleven; twelve; fifteen; twenty; thirty; forty; fifty;
sixty; eighty; ninety; a hundred; a thousand; two hundred; five thousand; a million; half a million; a couple of""".replace("\n", " ")
FEELINGS = """surprised; happy; really worried; tired; excited; proud; not convinced; grateful; a bit nervous; sceptical;
angry; relieved; confused; hopeful; bored; deeply moved""".replace("\n", " ")
THINGS = """a new book; the first episode; a long interview; the old house; a simple idea; the whole story; the best advice;
a strange letter; the question; a better plan; the latest report; some good news; a terrible mistake; an honest answer;
the second half; a free trial; the newsletter; a huge problem; the recipe; the final result; the recording""".replace("\n", " ")
LISTS = {"topic": TOPICS, "place": PLACES, "person": PEOPLE, "name": NAMES, "time": TIMES, "number": NUMBERS,
         "feeling": FEELINGS, "thing": THINGS}

TEMPLATES = """hello and welcome to a show about {topic}.
welcome back, i'm {name}, and {time} we are talking about {topic}.
with me in {place} is {person}, who knows a lot about {topic}.
{name} joins us from {place} to talk about {topic}.
thanks for having me, it's great to be here.
so tell me, how did you get into {topic}?
well, i grew up near {place}, and {person} gave me {thing}.
i was {feeling} when i heard about {thing}.
you know, i think {topic} is something people don't talk about enough.
and that's exactly what {person} told us {time}.
we'll be right back with {person}.
this episode is brought to you by people who care about {topic}.
our sponsor {time} makes {topic} easy for everyone.
use the code at checkout and save {number} percent.
go to our website and sign up for {thing}.
get {number} dollars off your first order.
if you enjoy the show, please leave us a review and tell {person}.
don't forget to subscribe wherever you get your podcasts.
that's all we have time for {time}.
thank you so much, {name}, that was {thing} i needed.
let's move on to {topic}.
now here is {thing} from {place}.
the numbers are out, and {number} people were {feeling}.
it costs about {number} dollars, which is a lot for {topic}.
in {place} there are {number} people working on {topic}.
i don't know what to say, i'm just {feeling}.
what do you make of {thing}?
there is a lot to unpack here, so let's start with {topic}.
{person} said it would take {number} days, but it took {number} weeks.
here's the thing about {topic}, nobody agrees.
let me give you an example from {place}.
right, and that brings us to {thing}.
can you explain what happened {time}?
yeah, absolutely, we spent {number} hours in {place}.
i couldn't believe it, {person} was {feeling} and so was i.
people ask me about {topic} all the time.
it turns out that {topic} and {topic} have something in common.
coming up {time}, {thing}, and a conversation about {topic}.
you're listening to a programme about {topic}, and i'm {name}.
the news at {number} o'clock from {place}.
police in {place} say that {person} is safe.
the weather {time} will be cold and wet, with some sun in {place}.
the government has announced a plan for {topic}.
{name} scored {number} goals in {place}.
they've been working on {thing} since {number} in the morning.
she told {person} that she would never go back to {place}.
he said he'd seen {thing}, but we weren't so sure.
we have {number} questions from listeners {time}.
{name} from {place} wants to know about {topic}.
my name is {name} and i've been thinking about {topic} for {number} years.
the short answer is no, and the long answer takes {number} minutes.
i'd like to thank {person}, {name} and {name} for their help.
the music was written by {name}, and the show was edited in {place}.
see you {time}, and take care of yourselves.
goodbye for now from all of us in {place}.
it's {number} degrees in {place} and everyone is {feeling}.
would you do it again if somebody gave you {thing}?
honestly, it changed the way i look at {topic}.
first of all, congratulations, you must be {feeling}.
let's talk about money, because {thing} isn't cheap.
what is the one thing you wish you had known about {topic}?
in chapter {number} we come to {topic}.
there were {number} of us in the car, somewhere near {place}.
if you've ever wondered about {topic}, this is for you.
and the third reason is {topic}.
sorry, go ahead, you were talking about {thing}.
this is the podcast about {topic}, and i'm your host, {name}.
you can find the podcast on our website, with a transcript of this episode.
in the last episode of this podcast we heard from {person}.
i listen to podcasts about {topic} when i'm at home.
send us an email or a voice message about {topic}.
follow us online and tell us about {thing}.
support for this podcast comes from listeners like you.""".splitlines()


def sentences(choose, count):
    """Up to count sentences (repeats are possible) filled in by choose, a random.Random."""
    lists = {name: [item.strip() for item in text.split(";")] for name, text in LISTS.items()}
    for _ in range(count):
        sentence = choose.choice(TEMPLATES)
        while "{" in sentence:
            start, end = sentence.index("{"), sentence.index("}")
            sentence = sentence[:start] + choose.choice(lists[sentence[start + 1:end]]) + sentence[end + 1:]
        yield sentence
