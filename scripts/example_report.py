"""The words of examples/report.pdf: an annual report that is mostly tables. Made up, as all of `example_texts`."""

from __future__ import annotations

from example_texts import Block, Caption, Heading, Paragraph, Rows, Title

REPORT: tuple[Block, ...] = (
    Title("The Ferry in Figures", "Annual report of the Saltmere ferry cooperative"),
    Heading("1 The year"),
    Paragraph(
        "The ferry crossed the estuary on 341 days. It stood still on fifteen days of ice, on eight days of storm and "
        "on the day of the captain\u2019s wedding, on which everyone who would have crossed was at the wedding. The "
        "number of pas~sengers was the highest since the coop~era~tive was founded, and the number of bicycles passed "
        "the number of cars for the first time."
    ),
    Heading("2 Crossings by month"),
    Paragraph(
        "Table 1 counts every crossing in either direction. A crossing without any pas~senger is counted as well, "
        "since the ferry has to be on the other side in the morning. Late means more than ten minutes after the time "
        "on the board at the landing."
    ),
    Caption("Table 1: Crossings, passengers and bicycles by month."),
    Rows(
        (
            ("Month", "Crossings", "Late", "Passengers", "Bicycles"),
            ("January", "402", "31", "5,118", "611"),
            ("February", "366", "44", "4,870", "598"),
            ("March", "614", "28", "8,402", "1,377"),
            ("April", "690", "17", "10,964", "2,451"),
            ("May", "744", "12", "14,230", "4,018"),
            ("June", "780", "9", "17,655", "5,236"),
            ("July", "806", "14", "21,340", "6,902"),
            ("August", "806", "11", "22,018", "7,115"),
            ("September", "750", "10", "15,477", "4,390"),
            ("October", "700", "22", "10,083", "2,204"),
            ("November", "560", "37", "6,741", "987"),
            ("December", "431", "40", "5,902", "702"),
        ),
        (90, 76, 60, 84, 76),
    ),
    Paragraph(
        "The late crossings of November are those of one week, in which the second engine was in pieces on the quay. "
        "Since then a spare pump lies in the boat~house."
    ),
    Heading("3 Money"),
    Paragraph(
        "Fares paid for three quarters of the year. The county paid for the crossings before seven in the morning, "
        "which carry pupils and bakers and would other~wise not be made. All sums are in thousands."
    ),
    Caption("Table 2: Income and expenses."),
    Rows(
        (
            ("Item", "Last year", "This year"),
            ("Fares", "388", "427"),
            ("County", "121", "118"),
            ("Tea and buns", "19", "26"),
            ("Wages", "-301", "-317"),
            ("Fuel", "-98", "-84"),
            ("Repairs", "-77", "-139"),
            ("Result", "52", "31"),
        ),
        (150, 90, 90),
    ),
    Heading("4 The boats"),
    Paragraph(
        "The older boat will be forty years old in spring. The survey~or gave her five more years if the deck is "
        "re~newed and two if it is not. The general meeting chose five. What each boat can carry is in Table 3."
    ),
    Caption("Table 3: What each boat can carry."),
    Rows(
        (
            ("Boat", "Built", "Passengers", "Cars"),
            ("Heron", "1986", "60", "6"),
            ("Curlew", "2011", "90", "9"),
            ("Tender", "2019", "12", "0"),
        ),
        (110, 70, 80, 60),
    ),
    Heading("5 What comes next"),
    Paragraph(
        "From March on there is a crossing at eleven at night on Fridays, for those who want to hear the end of a "
        "concert. It is a trial of one season. If fewer than twenty people a night come home with it, they will have "
        "to leave before the last song again."
    ),
)
