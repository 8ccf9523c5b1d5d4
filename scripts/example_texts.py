"""The words of the PDFs under examples/, written for this repository. People, places and figures are made up.

A tilde marks where a line may break inside a word: the PDF then shows a hyphen there, the truth does not.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTHOR = "The Sir Convert-a-Lot authors"
PASSWORD = "examples"  # noqa: S105 (of encrypted.pdf, which the service must refuse)


@dataclass(frozen=True, slots=True)
class Title:
    """The title of a document and the line below it."""

    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbered:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caption:
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """A table; the first row is its head. `grid` draws every rule, otherwise only the three rules of a book."""

    rows: tuple[tuple[str, ...], ...]
    widths_pt: tuple[float, ...]
    grid: bool = True


Block = Title | Heading | Paragraph | Bullets | Numbered | Caption | Rows


DIGITAL: tuple[Block, ...] = (
    Title("Counting Swifts with a Cheap Microphone", "Ada Lindqvist and Tomas Brandt, Harbour Street School"),
    Heading("Abstract"),
    Paragraph(
        "Swifts scream when they fly in parties around the houses where they nest. We asked whether one micro~phone "
        "that costs less than a school lunch can count them as well as two people with note~books. Over thirty summer "
        "evenings the micro~phone heard 912 parties and the observers wrote down 958. The two counts rise and fall "
        "together, and the micro~phone never went home early. We describe the box, the count~ing rule and the "
        "mis~takes of both methods, so that another school can do the same."
    ),
    Heading("1 Introduction"),
    Paragraph(
        "Common swifts spend most of their lives in the air. In our town they arrive in the second week of May and "
        "leave before the middle of August, so a survey has about ninety days. Count~ing nests is hard because the "
        "birds enter a roof in less than a second. Count~ing scream~ing parties is easier, and several con~serva~tion "
        "groups use it as a measure of how many pairs breed nearby."
    ),
    Paragraph(
        "A person can stand at a corner for an hour. A school class cannot stand there every evening for a whole "
        "summer, and the evenings on which no~body comes are rarely the same as the evenings on which no birds come. "
        "A micro~phone has no such prefer~ences. Its weak~ness is that it hears every~thing else as well: "
        "motor~cycles, children, and one very per~sistent ice cream van."
    ),
    Heading("2 Methods"),
    Heading("2.1 The box", level=3),
    Paragraph(
        "The recorder is a single-board computer in a lunch box with two holes, one for the micro~phone and one for "
        "the cable. The box hung under the gutter of the gymnasium at a height of seven metres. It wrote one file for "
        "each ten minutes between 19:00 and 22:30. The parts were:"
    ),
    Bullets(
        (
            "a single-board computer with a memory card of 32 gigabytes;",
            "an electret micro~phone with a foam cap against the wind;",
            "a lunch box, two cable glands and a tube of silicone;",
            "ten metres of cable to the nearest dry socket.",
        )
    ),
    Heading("2.2 The counting rule", level=3),
    Paragraph(
        "A party is a group of calls between four and eight kilo~hertz that lasts at least one second and is followed "
        "by at least five seconds of silence in that band. Each evening was treated in the same way:"
    ),
    Numbered(
        (
            "Cut the recording into windows of a quarter of a second.",
            "Mark each window whose energy in the band is more than three times the evening\u2019s median.",
            "Join marked windows that are less than five seconds apart.",
            "Drop joined groups shorter than one second.",
            "Count what is left.",
        )
    ),
    Paragraph(
        "Two observers stood below the box on the same evenings and wrote down the time of every party that they saw "
        "or heard. They did not look at the recordings until the season was over. When the observers dis~agreed with "
        "each other we kept the larger number, since it is easier to miss a party than to invent one."
    ),
    Heading("3 Results"),
    Paragraph(
        "Table 1 gives the counts by fort~night. The micro~phone found fewer parties than the observers in every "
        "fort~night but one. In the second half of July, when the young birds join and the parties grow large, the "
        "counting rule split some long parties in two, and the micro~phone came out ahead."
    ),
    Caption("Table 1: Parties counted by the microphone and by two observers."),
    Rows(
        (
            ("Fortnight", "Evenings", "Microphone", "Observers", "Difference"),
            ("16 to 31 May", "6", "88", "101", "-13"),
            ("1 to 15 June", "6", "141", "152", "-11"),
            ("16 to 30 June", "6", "197", "215", "-18"),
            ("1 to 15 July", "6", "228", "247", "-19"),
            ("16 to 31 July", "6", "258", "243", "15"),
            ("All", "30", "912", "958", "-46"),
        ),
        (96, 64, 76, 70, 70),
    ),
    Paragraph(
        "On 26 of the 30 evenings the two counts differed by fewer than four parties. The largest differ~ence, nine, "
        "was on the evening of the harbour festival. The brass band plays in the same band of frequen~cies as the "
        "swifts, which may be where the word comes from."
    ),
    Heading("4 Discussion"),
    Paragraph(
        "The micro~phone missed parties that flew low on the far side of the building, where the gym~nasium stood "
        "between them and the box. The observers missed parties when they talked, and on two evenings they left "
        "before the last party had passed. Neither method is the truth. They fail for different reasons, and that is "
        "why it is worth having both for one season before the people are sent home."
    ),
    Paragraph(
        "A second box on the other side of the roof would cost as much as the first and would remove most of the "
        "differ~ence. It would also give the direct~ion of each party, from the time at which it reaches the one box "
        "and the other. We did not try this."
    ),
    Heading("5 Conclusion"),
    Paragraph(
        "One micro~phone counts 95 of every 100 parties that two observers count. For a school that wants to know "
        "whether there are more swifts this year than last year, that is enough. The recordings, 41 gigabytes of "
        "mostly traffic, are kept by the school and can be heard there on request."
    ),
    Heading("References"),
    Numbered(
        (
            "B. Okafor. Screaming parties as an index of breeding pairs. Town Birds, 12:44\u201351, 2019.",
            "L. Marchetti and P. Sand. Listening boxes for small budgets. Field Recorder, 7:3\u201319, 2021.",
            "Harbour Street School. Yearbook of the nature club, 2024.",
        )
    ),
)


TWO_COLUMN: tuple[Block, ...] = (
    Title("Drying Apples with the Heat of a Bakery", "Irma Castellanos, Jonas Weil and Priya Nair"),
    Heading("Abstract"),
    Paragraph(
        "A bakery throws away warm, dry air every morning. We led the air of one bakery through a cup~board with "
        "trays and dried apples in it. A load of twelve kilo~grams was dry after nine hours, at no cost for fuel. The "
        "apples kept their colour better than apples dried in the sun and worse than those from an electric dryer."
    ),
    Heading("1 Background"),
    Paragraph(
        "Drying is among the oldest ways of keeping fruit. It needs air that is warm, dry and moving. In our valley "
        "the sun offers all three for perhaps five weeks, and those are not the weeks in which the apples are ripe. "
        "Electric dryers work at any time of year, but the users of the com~munity kitchen told us that the price of "
        "a load was more than the price of the apples."
    ),
    Paragraph(
        "The bakery next door fires its oven at three in the morning. Until noon its extract~or blows air at fifty "
        "degrees into the yard, where it melts the snow and pleases the cats. The air is drier than one would expect, "
        "because the steam of the oven leaves by another flue."
    ),
    Heading("2 The cupboard"),
    Paragraph(
        "The cup~board is two metres high and has fourteen trays of stainless mesh. A flap at the bottom lets the "
        "bakery\u2019s air in, and a slot at the top lets it out. A filter stops flour. The flap closes when the air "
        "is colder than thirty-five degrees, so that a cold morning does not undo the work of a warm one."
    ),
    Paragraph("We compared three ways of drying the same apples:"),
    Bullets(
        (
            "the cup~board, with air from the bakery;",
            "racks in the sun, taken in at night;",
            "a com~mercial electric dryer set to fifty-five degrees.",
        )
    ),
    Heading("3 What we measured"),
    Paragraph(
        "The apples were of one variety, cored and cut into rings of six milli~metres. Each load was weighed every "
        "hour, or every three hours in the sun. A load was called dry when its water was below twenty per cent of its "
        "weight. Table 1 gives the means of five loads."
    ),
    Caption("Table 1: Time and energy for one load."),
    Rows(
        (
            ("Method", "Load (kg)", "Hours", "kWh"),
            ("Cupboard", "12", "9", "0.4"),
            ("Sun", "12", "31", "0.0"),
            ("Electric", "8", "7", "9.6"),
        ),
        (74, 54, 46, 46),
    ),
    Paragraph(
        "The small amount of energy for the cup~board is the fan that we added after the first load, when the trays "
        "at the top stayed wet. With the fan, the driest and the wettest tray of a load differed by less than three "
        "per cent."
    ),
    Heading("4 Colour and taste"),
    Paragraph(
        "Twenty visitors of the kitchen were given three bowls without labels and asked for a mark between one and "
        "ten. The marks are in Table 2. Most of them said that the apples from the cup~board smelled of bread, and "
        "half of those thought that this was a good thing."
    ),
    Caption("Table 2: Mean marks of twenty visitors."),
    Rows(
        (
            ("Method", "Colour", "Taste", "Smell"),
            ("Cupboard", "7.1", "7.8", "8.2"),
            ("Sun", "5.2", "8.0", "7.0"),
            ("Electric", "8.4", "7.3", "6.1"),
        ),
        (74, 54, 46, 46),
        grid=False,
    ),
    Heading("5 What went wrong"),
    Paragraph(
        "On three mornings the bakery did not bake, once because of a holiday that we had forgotten and twice because "
        "of a broken mixer. Apples that lie half dry for a day turn brown. We now ask the baker the evening before, "
        "and we keep the electric dryer for the days on which the answer is no."
    ),
    Paragraph(
        "Flour passed the filter in the first week. It does no harm, but the rings looked as if it had snowed. A "
        "second layer of cloth cured this and cost one more hour of drying, which the fan gave back."
    ),
    Heading("6 Doing the same elsewhere"),
    Paragraph("A kitchen that wants to copy the cup~board should first learn three things about its neigh~bour:"),
    Numbered(
        (
            "how warm the air is at the end of the duct, not at the oven;",
            "how wet it is, on a day with rain;",
            "how many mornings a month it is there.",
        )
    ),
    Paragraph(
        "In our town two laundries, a print shop and a second bakery would do. The laundries have the warmest air and "
        "the wettest, and we would put a heat exchanger between them and the apples. The print shop has dry air and a "
        "smell that nobody would call bread."
    ),
    Paragraph(
        "The drawings of the cup~board are on the wall of the kitchen. They may be copied by anyone who leaves a bag "
        "of rings in exchange."
    ),
)


SCANNED: tuple[Block, ...] = (
    Title("Minutes of the Allotment Society", "Meeting of 3 March in the tool shed"),
    Heading("1 Present"),
    Paragraph(
        "Fourteen members were present. The chair opened the meeting at seven in the evening and thanked the members "
        "who had mended the roof of the shed during the winter."
    ),
    Heading("2 Water"),
    Paragraph(
        "The new pump gives forty litres a minute. It will be switched on when the nights are free of frost. Members "
        "are asked to close the tap at the end of each row and to tell the treasurer when a hose leaks."
    ),
    Heading("3 Compost"),
    Paragraph(
        "The heap behind plot nine is full. The members agreed to build a second heap beside the gate. Branches "
        "thicker than a thumb do not belong on either heap."
    ),
    Heading("4 Next meeting"),
    Paragraph("The society meets again on 7 April at the same hour. The secretary brings the cake."),
)


TAGGED: tuple[Block, ...] = (
    Title("How to Lend a Tool", "A leaflet of the neighbourhood workshop"),
    Heading("Before you lend"),
    Paragraph(
        "A tool that leaves the workshop should come back. Write down who takes it, show how it is used, and agree on "
        "a day. Three sentences are enough, and they are easier to say before the drill is gone than after it."
    ),
    Bullets(
        (
            "Check that the cable is whole and that the plug is dry.",
            "Hand out the key of the chuck together with the drill.",
            "Offer gloves and glasses, even to those who never wear them.",
        )
    ),
    Heading("How long"),
    Paragraph("The usual times are below. Whoever needs longer asks before the day has come."),
    Rows(
        (
            ("Tool", "Days", "Deposit"),
            ("Hand saw", "14", "none"),
            ("Drill", "7", "20"),
            ("Floor sander", "2", "50"),
        ),
        (150, 150, 150),
    ),
    Heading("When it breaks"),
    Paragraph(
        "Tools break. Whoever breaks one says so and brings back the pieces. The workshop mends what can be mended on "
        "the first Saturday of the month, and whoever broke the tool is welcome to watch."
    ),
)
