"""What advertisements on podcasts say, as patterns, and what sounds like them and is none.

TRAIN and HELD share no pattern, no brand and no thing to sell: HELD is for the figures in the card alone.
A {name} in a pattern is filled from the list of that name.
"""
TRAIN = {
    "opener": """this episode is brought to you by {brand}
support for this podcast comes from {brand} makers of the {thing}
today's sponsor is {brand}
we want to thank our sponsor {brand} for supporting the show
a quick word from our sponsor
before we go on let me tell you about {brand}
this show is sponsored by {brand} the {quality} {thing} for everyone
we will be right back after this short message
thanks to {brand} for making this episode possible
let us take a short break to talk about {brand}
and now a message from {brand}
our partner this week is {brand}
this podcast is made possible by {brand}
today's episode is supported by {brand}
first though a message from one of our sponsors
the following is a paid message from {brand}
before the break a word about {brand}
hang on we will get to that right after these messages
time for a short commercial break
{brand} sponsors this show and we are very glad about it
here is something that i have wanted to tell you about it is called {brand}
we could not make this show without {brand}
let me pause for a second and thank {brand}
speaking of good ideas have you heard about {brand}
and with that let us thank the sponsors of this week
many thanks to {brand} our sponsor today
you may have seen {brand} on television""",
    "pitch": """are you tired of your old {thing}
do you want a {thing} that really works
{brand} makes the {quality} {thing} you will ever own
with {brand} you can {verb} without leaving your house
i have been using {brand} for months and i love it
every {thing} from {brand} is made with care and comes with a guarantee
{brand} helps you {verb} in just a few minutes a day
their {thing} is {quality} and it comes right to your door
imagine a {thing} that fits your life
thousands of happy customers already trust {brand}
you deserve a {quality} {thing}
no contracts no hidden fees and you can cancel any time
it is {quality} it is simple and it costs less than you think
shipping is free and returns are easy
when i switched to {brand} i started to {verb} better at once
try it for thirty nights and if you do not love it you get your money back
they deliver a box of {thing}s to your door every week
my {thing} from {brand} arrived last tuesday and the whole family wants one
i was sceptical at first but after a week with {brand} i was convinced
what i like about {brand} is that you can stop whenever you like
whether you are at home or on the road {brand} helps you {verb}
if you have ever tried to {verb} you know how hard it can be
{brand} takes the stress out of it
there is no better way to {verb} than with {brand}
it takes five minutes to set up and the support is excellent
the team at {brand} has spent years on the perfect {thing}
over two million people use {brand} every day
{brand} connects you with an expert who helps you {verb}
stop paying too much for your {thing}
why pay more when you can have the {quality} {thing} for less
with plans that start at {number} dollars a month there is something for everyone
each {thing} is tested by hand before it leaves the factory
made from natural materials and built to last a lifetime
it fits in your pocket and the battery lasts all week
no more waiting in line and no more paperwork
{brand} compares hundreds of offers and finds the right one for you
your data stays private and nobody can sell it
you can cancel or skip a week at any time
they use only the freshest ingredients and everything is ready in {number} minutes
every purchase plants a tree
rated number one by our readers {number} years in a row
{brand} gives your business the tools to grow
hiring is hard and {brand} makes it simple
talk to a licensed therapist from your own sofa with {brand}
turn your ideas into a beautiful {thing} with {brand}
freshly roasted and packed on the same day
taste the difference of a real {thing}
wake up rested with the {quality} {thing} on the market
{brand} the {thing} that your morning has been missing
your skin will thank you
the new {thing} from {brand} is here
treat yourself to something better
it is the easiest way that i know to {verb}
for a limited time you get a second {thing} for nothing""",
    "offer": """go to {brand} dot com slash {show} and get {number} percent off your first order
use the code {show} at checkout to save {number} percent
sign up today and your first month is free
order now and get free shipping
visit {brand} dot com to start your free trial
just enter the promo code {show} when you order
listeners of this show get {number} dollars off
call now or visit our website for a special offer
that is {brand} dot com slash {show}
download the app today it is free
terms and conditions apply
the offer ends on sunday so do not wait
get {number} percent off when you buy two
new customers save {number} dollars on any {thing}
use our link in the description to get {number} percent off
the link is in the show notes
tell them that we sent you
claim your free {thing} at {brand} dot com
the first {number} listeners get a free {thing}
right now {brand} gives our listeners a month for free
start your trial at {brand} dot com today
visit {brand} dot com and use our code for a discount
go there now and see how much you could save
shop online or in a store near you
find out more at {brand} dot com
pick up your {thing} this weekend and save
available in all good shops and online
order today on their website and the first one is on us
sign up with your email and get {number} dollars for your first purchase
text {show} to {number} {number} to get started
risk free with a full refund
that is {number} percent off your first three months
offer valid for new customers only see the site for details
order before friday and it arrives on the weekend""",
    "closer": """{brand} {thing}s made for you
and now back to the show
{brand} because you are worth it
that code again is {show}
{brand} dot com
thanks again to {brand}
ask for {brand} in a store near you
{brand} something better every day
{brand} live well sleep well
{brand} the smarter way to {verb}
{brand} good things come to those who order
we thank {brand} for their support
{brand} try it today
{brand} made for mornings
and we are back
now where were we""",
    "brand": "sleepwell greenleaf brightbox northfield mealtime simply quick pantry blue river honest home true north fresh basket evergreen silver spoon open road little acorn sunny side clear sky wonder works golden harvest morning cup daily bean better help swift bank safe drive cosy nest urban bike peak trail pure drop happy paws",
    "thing": "mattress|razor|meal kit|pair of headphones|blanket|coffee maker|phone plan|website|vitamin|shoe|backpack|insurance plan|pillow|subscription box|toothbrush|language course|bag of coffee|box of tea|running shoe|guitar|cleaning kit|protein bar|desk chair|electric bike|pan|candle|dog food|watch|sofa|solar panel|travel bag|skin cream",
    "quality": "best|softest|finest|easiest|most comfortable|perfect|affordable|amazing",
    "verb": "sleep|cook a healthy dinner|build a website|learn a language|save money|get fit|shop for groceries|protect your family|manage your bills",
    "show": "podcast|talk|story|daily|listen|history|radio",
    "number": "five|ten|fifteen|twenty|twenty five|thirty|forty|fifty",
}

HELD = {
    "opener": """now it is time to hear from the people who pay for this programme
{brand} is the reason that you can hear us for nothing
a few words about our friends at {brand}
stay with us the story goes on after the break""",
    "pitch": """nobody should have to wait for a decent {thing}
{brand} sends a fresh {thing} to your home each week
one tap is all it takes to {verb}
you choose the colour and they do the rest
their people answer the telephone day and night
compare it with what you pay now and you will see the difference
my whole family has a {thing} from {brand} and nobody wants to give it back""",
    "offer": """tell them that we sent you and the second one costs nothing
type the word {show} in the box to take a {number} pound discount
you will find the link in the notes of this episode
the first hundred people to register get a gift worth {number} pounds
this week only every {thing} is half price
start for free today at {brand} dot org""",
    "closer": """{brand} we think of everything
now where were we
let us get back to our guest""",
    "brand": "harbour lane|red kite|the corner table|maple and stone|second morning|lantern",
    "thing": "bicycle|lamp|dog bed|savings account|winter coat|juice|garden tool",
    "quality": "lovely|reliable",
    "verb": "book a holiday|plan your garden|send a present|pay your rent",
    "show": "evening|garden|science|kitchen",
    "number": "three|eight|twelve|sixty",
}

# Talk about money, shops, websites, codes and discounts that advertises nothing.
NEAR_TRAIN = """the company cut its prices by ten percent last year and lost money anyway
he paid twenty dollars for the old car and sold it for fifty
she opened a small shop and the first customers came on a monday
the website was down for two days and nobody knew why
they broke the code of the letters in the last year of the war
the price of bread went up and people stood in long lines
our sponsor left the team and the players had no shirts
the bank would not give them a loan without a guarantee
i bought a mattress once and could not sleep for a week
there was a sale in the street and everybody came
the first month was hard because we had no orders at all
we got a free ticket and sat in the last row
the doctor told me to sleep more and to eat less
you can order anything in that cafe and it always tastes the same
go to the old harbour and you will see the boats
they send the vegetables to the market before the sun is up
thanks for listening and see you next week
welcome back to the show my guest today is a teacher
if you like this show tell a friend about it
the contract said that she could leave at any time
nine out of ten people in the study paid their bills late
the insurance company refused to pay for the roof
he made a promise to his customers and he kept it
the coffee company closed its factory and two hundred people lost their work
she delivered newspapers every morning before school
the shop on the corner sells milk and bread and newspapers
customers came from the whole town because his apples were cheap
he told us what a good price would be and we did not believe him
the supermarket offered everything for less and the little shops lost their customers
the best mattress in that hotel was on the floor
my grandmother had a coffee grinder that was older than she was
it took months to build the website and nobody visited it
the bill came with the post and it was higher than ever
people order too much and eat too little of it
the free tickets were gone in an hour
the app tracked where they went and sold what it knew
the first week was free and after that everyone had to pay
what does it cost to run a small shop today
he gave every customer a card and the tenth coffee was free
a good knife costs money but it lasts a lifetime
she signed up for the course and never went
they sold the house and bought a boat
peel the onions and cut them into thin rings before you warm the oil
stir the soup now and then and taste it before you add more pepper
put the seeds two fingers deep and keep the soil wet for ten days
turn the screw to the left until the lid comes off
breathe in through the nose and count slowly to four
if the engine makes that noise stop and look under the car
hold the violin with your chin and let the arm hang
wash the brush in warm water and leave it to dry in the sun
you can hear the difference when you knock on good wood
the telescope will watch the same patch of sky for nine years
they hope to find water below the ice and perhaps something alive
the probe sends its pictures home and each takes a day to arrive
scientists measured the light of the star again and again
the new bridge will carry trains and a path for cyclists
perhaps nobody will ever know what happened to the ship
the surface turns soft in summer and hard as stone in winter
she works with clay and every bowl comes out a little different
the doctor explains what happens when we fall asleep
our planet was once covered with ice from pole to pole
you will need a little patience and a long wooden spoon
imagine a city without a single car
think of the quietest place you have ever been
the river brings the stones down and the sea makes them round
it smells of apples and smoke and it tastes even better cold
hello and welcome to a new episode""".splitlines()

# How shows begin and end: polite, addressed to the listener, and no advertisement.
FRAME_TRAIN = """hello everybody and welcome back my name is anna
good morning and welcome to another episode
today we talk about something that everyone knows
that was all for today thank you so much for being with us
thanks for your time and take care
thank you for your letters and your questions we read them all
see you again next week at the same time
in the next episode we will hear how it went on
goodbye and have a good evening
if you have a story for us please write to us
thank you to our guest and to everyone who listened
next week we will visit a farm in the north
i am your host and this was our last story
stay well and come back soon
we hope that you liked it and we will be back on friday""".splitlines()

NEAR_HELD = """the discount was a mistake and the manager had to explain it on the phone
a hundred people registered for the race but only forty came
my sister plans gardens for a living and hates lawn mowers
in that year a winter coat cost more than a month of rent
half the price of a ticket goes to the city
the link between sleep and memory is not as simple as we thought
we asked the guest to choose a colour and she chose grey
they pay for the programme with taxes and nobody complains""".splitlines()

# Words that selling is done with. Training mixes sentences in which several of them stand close together,
# in any order, so that the model learns the words and not the patterns above.
SELLING = """sponsor sponsors sponsored partner partners supported brand product products quality offer offers discount
discounts deal deals sale save savings percent off price prices half free trial gift bonus coupon voucher code promo
checkout order orders ordering buy purchase shop store online website site link app download click visit sign signup
register subscribe subscription member membership customer customers listeners delivery delivered delivers shipping
ship door box package guarantee guaranteed money back refund return returns cancel contract fees dollars pounds euros
cents cheap affordable cheaper best comfortable soft delicious fresh easy simple fast trusted recommend love service
support available limited today now soon hurry deserve treat yourself try upgrade choose colour size collection
designed handmade ingredients recipe mattress pillow razor coffee vitamins insurance bank loan broadband phone
plan business tool software course break message brought supporting notes description exclusive special
discover experience perfect ideal family home everyday""".split()
