"""Inputs that the program does not do right yet, each with what is missing. An input that turns out right is reported, too."""

import re

LIMITS = {
    r"^messages/(OpenAI image|thinking part of Tinker|TRL image): load_dataset": "JSON texts within the turns of a data set",
    r"^messages/parts of text without type": "planted parts have a `type`",
    r"TRL prompt and completion with tools: datasets\.": "keys of tool calls in planted completions",
    r"^preferences/OpenAI preference: (?!OpenAI)": "keys of `input` beside `messages` in planted rows",
    r"^preferences/KTO, labels are numbers: datasets.to_csv": "a label 0 or 1 in a table becomes a number",
    r"^text/Alpaca of Unsloth": "a block `### Input:` in planted texts",
    r"^tables/OpenAI tools, as JSON in cells": "a list in a cell that holds no turns stays a text",
    r"^broken tables/messages as Python prints them": "no word about Python",
    r"^broken files/(Parquet|Arrow \w+) cut": "the kind of the file is not said",
    r"^broken files/pickle": "other words",
    r"^broken files/Shift JIS": "the line is not said",
    r"^broken files/folder with files that fit equally": "the words are those of the hub",
    r"^places of broken rows/(row of the second shard|file and line in a folder)": "places count through the joined files",
    r"^--skip-invalid/table": "places do not count skipped records",
    r"^refused conversions/Axolotl train flags": "called weights",
    r"^traps of conversions/(train flags|names of speakers|label comes late|label is null at first)": "refused for the whole file, in other words",
    r"^rules of the service/": "other words",
}


def limit(name: str) -> str | None:
    """What is missing for an input; None where nothing is."""
    return next((missing for pattern, missing in LIMITS.items() if re.search(pattern, name)), None)
