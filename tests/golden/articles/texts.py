"""Texts for the articles, in the formats that each of them reads; made up, always the same.

  texts.py FOLDER    writes people.conll, landmarks.json, landmarks_dev.json, issues.csv
"""
import csv, itertools, json, pathlib, sys

PEOPLE = ["Maria Keller", "John Osei", "Aiko Tanaka", "Pierre Dubois", "Lena Novak", "Samuel Reed", "Ines Costa", "Omar Haddad"]
PLACES = ["Lisbon", "Hamburg", "Nairobi", "Osaka", "New Delhi", "Toronto", "Bergen", "Santa Fe"]
COMPANIES = ["Acme Corporation", "Northwind Traders", "Globex", "Initech Systems", "Umbrella Group", "Stark Industries"]
SENTENCES = ["{person} lives in {place} .", "Yesterday {person} flew from {place} to the office of {company} .",
             "{company} opened a factory near {place} .", "The new director of {company} is {person} .",
             "In {place} , {person} met the owners of {company} .", "Prices rose sharply last year ."]
TAGS = {"person": "PER", "place": "LOC", "company": "ORG"}

BUILDINGS = ["old lighthouse", "stone bridge", "town hall", "glass library", "central station", "opera house", "water tower", "city museum"]
QUESTIONS = [("Who designed the {building}?", "person"), ("When was the {building} opened?", "year"), ("Where does the {building} stand?", "place")]

VERBS = ["crashes", "hangs", "prints a wrong result", "shows an empty page", "loses the settings", "takes minutes"]
PARTS = ["The editor", "The command line", "The settings page", "The export", "The search box", "The installer"]
WHEN = ["on start", "after the update", "when the file is empty", "on a slow network", "with a long name", "in the dark theme"]
EXPECTED = ["I expected an error message instead.", "It worked in the version before.", "Restarting does not help.", "There is nothing in the log."]


def person(i): return PEOPLE[i % len(PEOPLE)]


def conll(i):
    """A sentence, a word a line: the word and its IOB2 tag."""
    values = {"person": person(i), "place": PLACES[i * 3 % len(PLACES)], "company": COMPANIES[i * 5 % len(COMPANIES)]}
    lines = []
    for piece in SENTENCES[i // 8 % len(SENTENCES)].split():
        kind = piece.strip("{}")
        words = values[kind].split() if kind in values else [piece]
        lines += [f"{word} {('B-' if j == 0 else 'I-') + TAGS[kind] if kind in values else 'O'}" for j, word in enumerate(words)]
    return "\n".join(lines) + "\n"


def paragraph(i):
    """One of SQuAD's paragraphs: a context, and questions whose answers stand in it."""
    values = {"building": BUILDINGS[i % len(BUILDINGS)], "person": person(i * 3 // 8), "year": str(1880 + i * 7 % 140), "place": PLACES[i * 5 % len(PLACES)]}
    context = "The {building} stands in the middle of {place}. It was designed by {person} and opened to the public in {year}.".format(**values)
    return {"context": context, "qas": [
        {"id": f"{i}-{kind}", "question": question.format(**values),
         "answers": [{"text": values[kind], "answer_start": context.index(values[kind])}]} for question, kind in QUESTIONS]}


def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / "people.conll").write_text("\n".join(conll(i) for i in range(192)), encoding="utf-8")
    for name, parts in (("landmarks", range(4)), ("landmarks_dev", range(4, 5))):
        articles = [{"title": f"part {part}", "paragraphs": [paragraph(i) for i in range(16 * part, 16 * part + 16)]} for part in parts]
        (folder / f"{name}.json").write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    with open(folder / "issues.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["title", "body"])
        for i, (part, verb, when) in enumerate(itertools.product(PARTS, VERBS, WHEN)):
            rows.writerow([f"{part} {verb}", f"{part} {verb} {when}. {EXPECTED[i % len(EXPECTED)]}"])


main()
